"""What a judge said of two answers that it was shown in both orders."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ropewalk.evaluator.domain.judging.preference import JudgedPair, fit
from ropewalk.tasksets.judges.grading import Grade

Outcome = Literal["ours", "theirs", "tie", "inconsistent"]
_OURS, _THEIRS = "ours", "theirs"


@dataclass(frozen=True)
class BothOrders:
    """Grades of `judges.prompt.pair_prompt`: 0 is for what stood first. `straight` had ours first, `turned` theirs."""

    straight: Grade
    turned: Grade
    cluster: str

    @property
    def score(self) -> float:
        """How far ours is preferred, from 0 to 1: the mean of both orders, so that a taste for the first cancels."""
        return ((1 - self.straight.expected / 2) + self.turned.expected / 2) / 2

    @property
    def outcome(self) -> Outcome:
        """An answer wins where both orders name it; where each names another, nobody can tell."""
        words: dict[int, Outcome] = {0: "ours", 1: "tie", 2: "theirs"}
        one, other = words[_likeliest(self.straight)], words[2 - _likeliest(self.turned)]
        if one == other:
            return one
        return "tie" if "tie" in (one, other) else "inconsistent"

    def shown(self, judge: str) -> tuple[JudgedPair, JudgedPair]:
        """Both orders, for whoever fits what a judge prefers besides quality."""
        straight = JudgedPair(
            judge=judge,
            first=_OURS,
            second=_THEIRS,
            cluster=self.cluster,
            outcome=1 - self.straight.expected / 2,
        )
        turned = JudgedPair(
            judge=judge, first=_THEIRS, second=_OURS, cluster=self.cluster, outcome=1 - self.turned.expected / 2
        )
        return straight, turned


def told(judge: str, pairs: Sequence[BothOrders]) -> str:
    """What a reader is told of a judge's comparisons: how they came out, and its taste for what stands first."""
    counts = Counter(each.outcome for each in pairs)
    words = ", ".join(f"{counts[each]} {each}" for each in ("ours", "theirs", "tie", "inconsistent"))
    sentence = f"judge {judge} compared {len(pairs)} pairs in both orders: {words}"
    try:
        fitted = fit([shown for each in pairs for shown in each.shown(judge)], biases=("position",))
    except ValueError:  # too few clusters
        return sentence
    effect = fitted.bias("position", judge)
    if effect is None:
        return sentence
    return (
        f"{sentence}; standing first is worth {effect.value:+.2f} logits ({effect.lower:+.2f} to {effect.upper:+.2f})"
    )


def _likeliest(grade: Grade) -> int:
    return max(range(3), key=lambda place: grade.probabilities[place])
