"""How long is the longest sequence of words, with others between them, that the answer shares with a right one?"""

from collections.abc import Sequence

from ropewalk.evaluator.domain.metrics.sets.overlap import overlap
from ropewalk.evaluator.domain.statistics import example_mean, example_mean_gain
from ropewalk.evaluator.domain.texts import rouge


def _nearest(answer: str, right: Sequence[str]) -> float:
    return max((rouge.rouge_l(each, answer).f for each in right), default=0.0)


METRIC = overlap(
    "rouge_l",
    "Mean over the items of the F measure of ROUGE-L against the nearest right answer, 0 to 1 (rouge-score's words, no "
    "stemming).",
    _nearest,
    (example_mean, example_mean_gain),
)
