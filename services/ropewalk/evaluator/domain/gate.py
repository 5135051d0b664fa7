"""May this checkpoint go into production?

`promote` iff the lower bound of the gain is above the margin, `reject` iff the upper bound is below it, else
`need_more`. Below MIN_CLUSTERS files an interval is not trusted, whatever it says. Completions of code are a guardrail:
whatever the gain, a candidate of which none parses is rejected, and one of which fewer parse than of its opponent is
not promoted.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE
from ropewalk.events.evaluation import Estimate

MIN_CLUSTERS = DOCUMENTS_TO_JUDGE
_BY_CHANCE = 0.05
_TOY = (
    "this is the gate of a toy (evaluation.gate): a first model need only beat the token unigram, not the best n-gram, "
    "and no completion need parse"
)

Word = Literal["promote", "reject", "need_more"]


@dataclass(frozen=True)
class Decision:
    """The gate's word and the sentences that explain it."""

    decision: Word
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Parsing:
    """Of how many prompts the candidate's completion parses.

    Where the opponent completes, too: of how many only the candidate's (`num_won`) or only the opponent's (`num_lost`).
    """

    num_prompts: int
    candidate: int
    num_won: int = 0
    num_lost: int = 0

    @property
    def opponent(self) -> int:
        """How many of the opponent's completions parse."""
        return self.candidate - self.num_won + self.num_lost


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the gate is shown.

    `gain` is the paired gain in bits per byte (opponent minus candidate; positive is better) on the documents that the
    opponent has not seen. `num_seen` of `num_held_out` it has seen; None: nobody knows. `is_model`: the opponent was
    trained by an earlier run, so that what is held out anew it may have seen. `is_toy`: the recipe asks for less.
    """

    gain: Estimate
    margin: float
    opponent: str
    num_held_out: int
    num_seen: int | None
    is_model: bool = False
    is_toy: bool = False
    parsing: Parsing | None = None


def decide(evidence: Evidence) -> Decision:
    """Judge the gain, then the guardrail; what the opponent has seen is always said."""
    judged = _judge_gain(evidence)
    parsing = None if evidence.is_toy else evidence.parsing
    refusal = _judge_parsing(parsing, evidence.opponent) if parsing else None
    if refusal and judged.decision == "promote":
        judged = Decision(refusal.decision, (*refusal.reasons, *judged.reasons))
    elif refusal:
        judged = Decision(judged.decision, (*judged.reasons, *refusal.reasons))
    toy = (_TOY,) if evidence.is_toy else ()
    return Decision(judged.decision, (*judged.reasons, _what_was_seen(evidence), *toy))


def _judge_gain(evidence: Evidence) -> Decision:
    gain, margin = evidence.gain, evidence.margin
    if evidence.num_held_out == evidence.num_seen or gain.num_items < MIN_CLUSTERS:
        return Decision("need_more", (_too_few(evidence),))
    direction = "fewer" if gain.value >= 0 else "more"
    measured = (
        f"the candidate needs {abs(gain.value):.3f} {direction} bits per byte than {evidence.opponent} "
        f"({gain.level:.0%} interval of the gain {gain.lower:.3f} to {gain.upper:.3f}, {gain.num_items} files)"
    )
    if gain.lower > margin:
        return Decision("promote", (f"{measured}: the whole interval is above the margin of {margin:g}",))
    if gain.upper < margin:
        return Decision("reject", (f"{measured}: the whole interval is below the margin of {margin:g}",))
    return Decision("need_more", (f"{measured}: the interval holds the margin of {margin:g}", _how_many(evidence)))


def _judge_parsing(parsing: Parsing, opponent: str) -> Decision | None:
    """The prompts are the same, so only those that one of both got right tell them apart (the sign test)."""
    if parsing.candidate == 0:
        return Decision("reject", (f"none of the candidate's {parsing.num_prompts} completions parses",))
    if parsing.num_lost <= parsing.num_won:
        return None
    fewer = (
        f"fewer completions parse than of {opponent}: {parsing.candidate} of {parsing.num_prompts}, not "
        f"{parsing.opponent}"
    )
    if _sign_test(parsing.num_lost, parsing.num_won) <= _BY_CHANCE:
        return Decision("reject", (fewer,))
    more = f"that can be chance: raise evaluation.num_completions above {parsing.num_prompts} to settle it"
    return Decision("need_more", (fewer, more))


def _sign_test(num_lost: int, num_won: int) -> float:
    """How probable so many losses or more are among equals."""
    number = num_lost + num_won
    return sum(math.comb(number, losses) for losses in range(num_lost, number + 1)) / 2**number


def _what_was_seen(evidence: Evidence) -> str:
    total, seen = evidence.num_held_out, evidence.num_seen
    if seen is None:
        return f"which of the {total} held-out documents {evidence.opponent} has learnt from is not known"
    if seen == 0:
        return f"{evidence.opponent} has learnt from none of the {total} held-out documents"
    if seen == total:
        return f"{evidence.opponent} has learnt from all {total} held-out documents, so none of them can judge"
    return f"{evidence.opponent} has learnt from {seen} of the {total} held-out documents, which were left out"


def _too_few(evidence: Evidence) -> str:
    files = 0 if evidence.num_held_out == evidence.num_seen else evidence.gain.num_items
    return (
        f"only {files} held-out files were scored and the gate needs {MIN_CLUSTERS}, so {MIN_CLUSTERS - files} are "
        f"missing: {_remedy(evidence)}"
    )


def _remedy(evidence: Evidence) -> str:
    """More of the same corpus is of no use where the opponent has learnt from the rest of it."""
    if evidence.is_model:
        return f"add sources that {evidence.opponent} has not seen"
    return "add sources or raise evaluation.held_out_fraction"


def _how_many(evidence: Evidence) -> str:
    """An interval shrinks with the square root of the number of files."""
    gain = evidence.gain
    distance = abs(gain.value - evidence.margin)
    width = (gain.upper - gain.lower) / 2
    if distance == 0 or not math.isfinite(width):
        return "no number of files would settle a difference this small: the two are equal as far as can be seen"
    needed = math.ceil(gain.num_items * (width / distance) ** 2)
    more = max(1, needed - gain.num_items)
    return f"about {more} more held-out files would settle it if the difference stays as it is: {_remedy(evidence)}"
