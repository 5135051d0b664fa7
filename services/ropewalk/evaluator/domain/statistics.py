"""From one number per item to a number with its interval: what a metric's `level` and `gain` may be."""

from collections.abc import Sequence

from ropewalk.evaluator.domain.intervals import LEVEL, RESAMPLES, Spread, paired_trials, ratio, wilson
from ropewalk.evaluator.domain.metric import ItemScore

_ONE_SIDED = round(
    2 * LEVEL - 1, 9
)  # two-sided level of an interval each of whose bounds is wrong in 1 - LEVEL of all cases


def per_byte(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The sum of the values over the sum of the bytes, of one scorer or of a difference; clusters are resampled."""
    sums: dict[str, list[float]] = {}  # by cluster: value, bytes
    for value, row in zip(values, rows, strict=True):
        total = sums.setdefault(row.cluster, [0.0, 0.0])
        total[0] += value
        total[1] += row.num_bytes
    # Files are the unit that varies: documents of one file are alike and count as one draw.
    interval = ratio([value for value, _ in sums.values()], [size for _, size in sums.values()], seed=seed)
    method = f"file-clustered bootstrap-t of the ratio of sums, {RESAMPLES} resamples, seed {seed}"
    return Spread(interval, len(sums), method, LEVEL)


def share(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The share of items whose value is 1; the others are 0."""
    return Spread(wilson(round(sum(values)), len(rows)), len(rows), "Wilson score interval", LEVEL)


def paired_share(values: Sequence[float], rows: Sequence[ItemScore], seed: int) -> Spread:
    """The difference of two shares: values are 1 where only ours is right, -1 where only theirs is, else 0."""
    won, lost = sum(value > 0 for value in values), sum(value < 0 for value in values)
    # Items on which both are right or both wrong do not tell the two apart.
    interval = paired_trials(won, lost, len(rows), _ONE_SIDED)
    return Spread(interval, len(rows), "exact interval of the sign test", _ONE_SIDED)
