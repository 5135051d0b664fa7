"""From one number per item to a number with its interval: what a metric's `level` and `gain` may be."""

from collections.abc import Sequence
from dataclasses import replace

from ropewalk.evaluator.domain.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    Spread,
    bounded,
    paired_trials,
    ratio,
    wilson,
)
from ropewalk.evaluator.domain.metric import ItemScore

_ONE_SIDED = round(
    2 * LEVEL - 1, 9
)  # two-sided level of an interval each of whose bounds is wrong in 1 - LEVEL of all cases


def per_byte(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The sum of the values over the sum of the bytes, of one scorer or of a difference; clusters are resampled."""
    # Files are the unit that varies: documents of one file are alike and count as one draw.
    interval, num_clusters = _clustered(values, [float(row.num_bytes) for row in rows], rows, seed)
    method = f"file-clustered bootstrap-t of the ratio of sums, {RESAMPLES} resamples, seed {seed}"
    return Spread(interval, num_clusters, method, LEVEL)


def per_example(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The mean over examples; those that belong together are resampled together."""
    interval, num_clusters = _clustered(values, [1.0] * len(rows), rows, seed)
    method = f"clustered bootstrap-t of the mean, {RESAMPLES} resamples, seed {seed}"
    return Spread(interval, num_clusters, method, LEVEL)


def example_mean(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The same of values between 0 and 1; where all agree, the interval says what so many can exclude."""
    return _within(per_example(values, rows, seed), 0.0)


def example_mean_gain(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The same of differences of such values."""
    return _within(per_example(values, rows, seed), -1.0)


def example_share(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """`share` where every example stands for itself, else the clustered mean."""
    return share(values, rows, seed) if _stand_alone(rows) else example_mean(values, rows, seed)


def paired_example_share(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """`paired_share` where every example stands for itself, else the clustered mean of the differences."""
    return paired_share(values, rows, seed) if _stand_alone(rows) else example_mean_gain(values, rows, seed)


def share(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The share of items whose value is 1; the others are 0."""
    return Spread(wilson(round(sum(values)), len(rows)), len(rows), "Wilson score interval", LEVEL)


def paired_share(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The difference of two shares: values are 1 where only ours is right, -1 where only theirs is, else 0."""
    won, lost = sum(value > 0 for value in values), sum(value < 0 for value in values)
    # Items on which both are right or both wrong do not tell the two apart.
    interval = paired_trials(won, lost, len(rows), _ONE_SIDED)
    return Spread(interval, len(rows), "exact interval of the sign test", _ONE_SIDED)


def _clustered(
    values: Sequence[float], weights: Sequence[float], rows: Sequence[ItemScore], seed: int
) -> tuple[Interval, int]:
    sums: dict[str, list[float]] = {}  # by cluster: value, weight
    for value, weight, row in zip(values, weights, rows, strict=True):
        total = sums.setdefault(row.cluster, [0.0, 0.0])
        total[0] += value
        total[1] += weight
    numerators, denominators = zip(*sums.values(), strict=True)
    return ratio(numerators, denominators, seed=seed), len(sums)


def _within(spread: Spread, least: float) -> Spread:
    return replace(spread, interval=bounded(spread.interval, least, 1.0, spread.num_items))


def _stand_alone(rows: Sequence[ItemScore]) -> bool:
    return len({row.cluster for row in rows}) == len(rows)
