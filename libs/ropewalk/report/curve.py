"""The loss curve as it is drawn: what the final model went through, and what was lost and taken again."""

from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.report.card import LossPoint

_MOST_POINTS = 400


@dataclass(frozen=True, kw_only=True)
class Curve:
    """(step, loss) pairs in the order of the steps. `lost` holds one line per lost attempt."""

    kept: tuple[tuple[float, float], ...]
    lost: tuple[tuple[tuple[float, float], ...], ...]


def curve_of(points: Sequence[LossPoint]) -> Curve:
    """The last attempt at a step counts; earlier attempts at the same step were lost with their workers."""
    last_attempt: dict[int, int] = {}
    for point in points:
        last_attempt[point.step] = max(point.attempt, last_attempt.get(point.step, 0))
    kept = {point.step: point.loss for point in points if point.attempt == last_attempt[point.step]}
    lost: dict[int, dict[int, float]] = {}
    for point in points:
        if point.attempt < last_attempt[point.step]:
            lost.setdefault(point.attempt, {})[point.step] = point.loss
    return Curve(kept=_thin(kept), lost=tuple(_thin(line) for _, line in sorted(lost.items())))


def _thin(line: dict[int, float]) -> tuple[tuple[float, float], ...]:
    """At most a few hundred points, each the mean of a run of steps, so that noise does not hide the trend."""
    pairs = sorted(line.items())
    # Rounded up, so that there are never more groups than points allowed.
    width = max(1, -(-len(pairs) // _MOST_POINTS))
    groups = [pairs[start : start + width] for start in range(0, len(pairs), width)]
    return tuple(
        (sum(step for step, _ in group) / len(group), sum(loss for _, loss in group) / len(group)) for group in groups
    )
