"""What people say of written answers: a grade by each criterion of a rubric, or which of two answers is better."""

from ropewalk.evaluator.domain.answers import all_of_them
from ropewalk.evaluator.domain.metric import Metric
from ropewalk.evaluator.domain.statistics import example_mean, example_mean_gain
from ropewalk.tasksets.definition import TaskSetFile

_GRADED = (
    "Mean grade of greedy answers by {name}, as a share of the highest: people's labels of drawn answers, sharpened "
    "by judges' calibrated grades of all of them."
)
_PREFERRED = (
    "Share of items in which people find the candidate's answer the better one, a tie being half, as drawn comparisons "
    "say, sharpened by judges who see both orders. The gain is this share less that of the opponent."
)


def metrics(of: TaskSetFile) -> tuple[Metric, ...]:
    """Those that the type has; nothing scores them alone: see `labelling.measured`."""
    return tuple(_metric(name, is_pair=of.type == "pairwise") for name in of.known)


def _metric(name: str, *, is_pair: bool) -> Metric:
    return Metric(
        name=name,
        quantity="answers that people prefer" if is_pair else f"{name} as people grade it",
        better="higher",
        unit="share",
        definition=_PREFERRED if is_pair else _GRADED.format(name=name),
        select=all_of_them,
        score=lambda *_: None,
        level=example_mean,
        gain=example_mean_gain,
    )
