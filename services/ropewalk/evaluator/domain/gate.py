"""May this checkpoint go into production?

`promote` iff the lower bound of the primary gain is above the margin, `reject` iff the upper bound is below it, else
`need_more`. Below MIN_ITEMS in MIN_CLUSTERS clusters an interval is not trusted, whatever it says. A guardrail never
promotes: it turns a promotion into a rejection, or into `need_more` where what speaks against the candidate can be
chance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE
from ropewalk.evaluator.domain.budget import FIRST, Try
from ropewalk.evaluator.domain.clusters import MIN_CLUSTERS
from ropewalk.evaluator.domain.roles import GAIN, Rules
from ropewalk.events.evaluation import Estimate

MIN_ITEMS = DOCUMENTS_TO_JUDGE

Word = Literal["promote", "reject", "need_more"]


@dataclass(frozen=True)
class Decision:
    """The gate's word and the sentences that explain it."""

    decision: Word
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the gate is shown.

    One of the `estimates` has the role `primary`: the candidate's paired gain over the opponent on the documents that
    the opponent has not seen, which must be above the `margin`. `num_seen` of `num_held_out` it has seen; None: nobody
    knows. `is_model`: the opponent was trained by an earlier run, so that what is held out anew it may have seen.
    """

    estimates: Sequence[Estimate]
    rules: Rules
    margin: float
    opponent: str
    num_held_out: int
    num_seen: int | None
    is_model: bool = False
    tried: Try = FIRST
    column: str = ""  # begins the names of the opponent's own estimates
    missing: tuple[str, ...] = ()  # what decides and was not measured, in sentences
    left: Mapping[str, int] = field(default_factory=dict)  # by metric: items that were not asked yet

    @property
    def gain(self) -> Estimate:
        """The primary estimate."""
        (primary,) = (each for each in self.estimates if each.role == "primary")
        return primary

    @property
    def bounds(self) -> dict[str, float]:
        """By metric that decides: what a gain must be above, or at least; what the candidate itself must reach."""
        found = {self.gain.metric: self.margin}
        for each in self.estimates:
            if each.role == "guardrail":
                rule = self.rules.of[each.metric]
                found[each.metric] = -rule.tolerance if each.paired else max(rule.floor, rule.least)
        return found

    @property
    def num_left(self) -> int:
        """Items that another look could ask, of what kept it from a promotion."""
        if self.num_held_out == self.num_seen and not self.gain.task_set:
            return 0
        if _judge_gain(self)[0] != "promote":
            return self.left.get(self.rules.primary, 0)
        return max(self.left.values(), default=0)


def decide(evidence: Evidence) -> Decision:
    """Judge the gain, then the guardrails; what the opponent has seen is always said."""
    word, reasons = _judge_gain(evidence)
    found = (_judge_guardrail(each, evidence) for each in evidence.estimates if each.role == "guardrail")
    refusals = [refusal for refusal in found if refusal]
    refusals += [Decision("need_more", (missing,)) for missing in evidence.missing]
    said = [reason for refusal in refusals for reason in refusal.reasons]
    if refusals and word == "promote":  # what stopped a promotion is read first
        word = "reject" if any(refusal.decision == "reject" for refusal in refusals) else "need_more"
        reasons = (*said, *reasons)
    else:
        reasons = (*reasons, *said)
    more = (evidence.tried.said(evidence.opponent), evidence.rules.said)
    return Decision(word, (*reasons, _what_was_seen(evidence), *filter(None, more)))


def only_judged(evidence: Evidence) -> Decision:
    """Of a run that its recipe lets nobody promote: what was measured, and no verdict."""
    why = "the recipe has promotion.promote false, so this run is judged and never promoted"
    return Decision("reject", (why, _measured(evidence.gain, evidence), _what_was_seen(evidence)))


def _judge_gain(evidence: Evidence) -> tuple[Word, tuple[str, ...]]:
    gain, margin = evidence.gain, evidence.margin
    num_clusters = gain.num_clusters or gain.num_items  # 0 in reports of before they were counted
    if evidence.num_held_out == evidence.num_seen or gain.num_items < MIN_ITEMS or num_clusters < MIN_CLUSTERS:
        return "need_more", (_too_few(gain, evidence),)
    measured = _measured(gain, evidence)
    if gain.lower > margin:
        return "promote", (f"{measured}: the whole interval is above the margin of {margin:g}",)
    if gain.upper < margin:
        return "reject", (f"{measured}: the whole interval is below the margin of {margin:g}",)
    return "need_more", (f"{measured}: the interval holds the margin of {margin:g}", _how_many(evidence))


def _judge_guardrail(estimate: Estimate, evidence: Evidence) -> Decision | None:
    """None where nothing speaks against the candidate."""
    rule = evidence.rules.of[estimate.metric]
    if not estimate.paired:  # the candidate's own level: nobody to compare with is needed
        if estimate.value > rule.floor and estimate.value >= rule.least:
            return None
        more, bound = ("at least", rule.least) if estimate.value > rule.floor else ("more than", rule.floor)
        where = f"{estimate.written(estimate.value)} of {estimate.num_items} {estimate.items}"
        asks = f"the gate asks for {more} {estimate.written(bound)}"
        return Decision("reject", (f"{estimate.quantity}: {where}; {asks}",))
    if estimate.lower >= -rule.tolerance if rule.tolerance else estimate.value >= 0:
        return None
    tolerated = f"; {estimate.written(rule.tolerance)} would be tolerated" if rule.tolerance else ""
    measured = _measured(estimate, evidence) + tolerated
    if estimate.upper < -rule.tolerance:
        return Decision("reject", (measured,))
    if math.isinf(estimate.lower) or math.isinf(estimate.upper):
        return Decision("need_more", (_too_few(estimate, evidence),))
    more = f"more than {estimate.sample} would settle it"
    remedy = f": {rule.remedy}" if rule.remedy else ""
    return Decision("need_more", (measured, f"that can be chance; {more}{remedy}"))


def _measured(gain: Estimate, evidence: Evidence) -> str:
    rule, opponent = evidence.rules.of[gain.metric], gain.subject or evidence.opponent
    sentence = rule.sentence and _levels(gain, evidence, rule.sentence, opponent)
    if sentence:
        low, high = (f"{100 * bound:.3g}" for bound in (gain.lower, gain.upper))
        where = f"{gain.sureness} interval of the gain {low} to {high} points, {gain.sample}"
        return f"{sentence} ({where})"
    verb = "needs" if gain.better == "lower" else "has"
    direction = "more" if (gain.value >= 0) == (gain.better == "higher") else "fewer"
    return (
        f"the candidate {verb} {gain.written(abs(gain.value))} {direction} {gain.quantity} than {opponent} "
        f"({gain.sureness} interval of the gain {gain.written(gain.lower)} to {gain.written(gain.upper)}, "
        f"{gain.sample})"
    )


def _levels(gain: Estimate, evidence: Evidence, sentence: str, opponent: str) -> str:
    """The sentence with the levels that the gain is the difference of; empty where they are not at hand."""
    name = gain.metric.removesuffix(GAIN)
    levels = {each.metric: each.written(each.value) for each in evidence.estimates if not each.paired}
    ours, theirs = levels.get(name, ""), levels.get(f"{evidence.column}_{name}", "")
    return sentence.format(ours=ours, theirs=theirs, opponent=opponent) if ours and theirs else ""


def _what_was_seen(evidence: Evidence) -> str:
    total, seen = evidence.num_held_out, evidence.num_seen
    if seen is None:
        return f"which of the {total} held-out documents {evidence.opponent} has learnt from is not known"
    if seen == 0:
        return f"{evidence.opponent} has learnt from none of the {total} held-out documents"
    if seen == total:
        return f"{evidence.opponent} has learnt from all {total} held-out documents, so none of them can judge"
    return f"{evidence.opponent} has learnt from {seen} of the {total} held-out documents, which were left out"


def _too_few(gain: Estimate, evidence: Evidence) -> str:
    items = 0 if evidence.num_held_out == evidence.num_seen else gain.num_items
    remedy = evidence.rules.of[gain.metric].remedy if gain.task_set else _remedy(evidence)
    if items >= MIN_ITEMS:
        return (
            f"the {gain.sample} that were scored come from fewer than {MIN_CLUSTERS} packages, authors or other groups "
            f"that vary together, which the gate needs: {remedy}"
        )
    return (
        f"only {items} {gain.items} were scored and the gate needs {MIN_ITEMS}, so {MIN_ITEMS - items} are missing: "
        f"{remedy}"
    )


def _remedy(evidence: Evidence) -> str:
    """More of the same corpus is of no use where the opponent has learnt from the rest of it."""
    if evidence.is_model:
        return f"add sources that {evidence.opponent} has not seen"
    return "add sources or raise evaluation.held_out_fraction"


def _how_many(evidence: Evidence) -> str:
    """An interval shrinks with the square root of the number of items: width² / distance² times as many would do."""
    gain = evidence.gain
    remedy = evidence.rules.of[gain.metric].remedy if gain.task_set else _remedy(evidence)
    distance = abs(gain.value - evidence.margin)
    width = (gain.upper - gain.lower) / 2
    if distance == 0 or not math.isfinite(width):
        return (
            f"no number of {gain.items} would settle a difference this small: the two are equal as far as can be seen"
        )
    needed = math.ceil(gain.num_items * (width / distance) ** 2)
    more = max(1, needed - gain.num_items)
    return f"about {more} more {gain.items} would settle it if the difference stays as it is: {remedy}"
