"""From one number per item to a number with its interval: what a metric's `level` and `gain` may be."""

from collections.abc import Sequence
from dataclasses import replace

from ropewalk.evaluator.domain.metric import ItemScore, Statistic
from ropewalk.statistics.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    Spread,
    bounded,
    paired_trials,
    ratio,
    wilson,
)

_RESAMPLED = f"the wider of bootstrap-t ({RESAMPLES} resamples) and jackknife-t over clusters"


def per_byte(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
    """The sum of the values over the sum of the bytes, of one scorer or of a difference; clusters are resampled."""
    return _clustered(values, [float(row.num_bytes) for row in rows], rows, (seed, level))


def per_word(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
    """The sum of the values over the number of words."""
    return _clustered(values, [float(row.num_words) for row in rows], rows, (seed, level))


def perplexity(per_unit: Statistic) -> Statistic:
    """Two to the power of bits per unit, which is the perplexity of a unit."""

    def statistic(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
        spread = per_unit(values, rows, seed, level)
        value, lower, upper = (2.0 ** min(each, 1023.0) for each in vars(spread.interval).values())
        return replace(spread, interval=Interval(value, lower, upper))

    return statistic


def per_example(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
    """The mean over items; those that belong together are resampled together."""
    return _clustered(values, [1.0] * len(rows), rows, (seed, level))


def example_mean(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
    """The same of values between 0 and 1; where all agree, the interval says what so many can exclude."""
    return _within(per_example(values, rows, seed, level), 0.0)


def example_mean_gain(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
    """The same of differences of such values."""
    return _within(per_example(values, rows, seed, level), -1.0)


def example_share(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
    """The share of items whose value is 1, the others being 0; by Wilson where every item stands for itself."""
    if not _stand_alone(rows):
        return example_mean(values, rows, seed, level)
    interval = wilson(round(sum(values)), len(rows), level)
    return Spread(interval, len(rows), len(rows), "Wilson score interval", level, len(rows))


def paired_example_share(values: Sequence[float], rows: Sequence[ItemScore], seed: int, level: float = LEVEL) -> Spread:
    """The difference of two shares: values are 1 where only ours is right, -1 where only theirs is, else 0."""
    if not _stand_alone(rows):
        return example_mean_gain(values, rows, seed, level)
    won, lost = sum(value > 0 for value in values), sum(value < 0 for value in values)
    # Items on which both are right or both wrong do not tell the two apart.
    interval = paired_trials(won, lost, len(rows), level)
    return Spread(interval, len(rows), len(rows), "exact interval of the sign test", level, len(rows))


def _clustered(
    values: Sequence[float], weights: Sequence[float], rows: Sequence[ItemScore], drawn: tuple[int, float]
) -> Spread:
    """`drawn`: the seed and the level."""
    seed, level = drawn
    sums: dict[str, list[float]] = {}  # by cluster: value, weight
    for value, weight, row in zip(values, weights, rows, strict=True):
        total = sums.setdefault(row.cluster, [0.0, 0.0])
        total[0] += value
        total[1] += weight
    numerators, denominators = zip(*sums.values(), strict=True)
    interval = ratio(numerators, denominators, seed=seed, level=level)
    alone = _effective(interval.value, list(zip(values, weights, strict=True)), list(sums.values()))
    return Spread(interval, len(rows), len(sums), f"{_RESAMPLED}, seed {seed}", level, alone)


def _effective(value: float, items: Sequence[tuple[float, float]], clusters: Sequence[Sequence[float]]) -> float:
    """How many items that each stand alone would be as sure of a ratio: their number over the design effect.

    The design effect (Kish 1965) is the variance by clusters over that of a simple random sample; never below 1.
    """
    alone, together = (_variance(value, each) for each in (items, clusters))
    return len(items) * min(1.0, alone / together) if together > 1e-24 * len(items) else float(len(items))


def _variance(value: float, pairs: Sequence[Sequence[float]]) -> float:
    """Linearised, of the sum of numerators, from (numerator, denominator) of each."""
    n = len(pairs)
    return n / max(1, n - 1) * sum((x - value * y) ** 2 for x, y in pairs)


def _within(spread: Spread, least: float) -> Spread:
    # What never happened is excluded by as many draws as there are clusters.
    return replace(spread, interval=bounded(spread.interval, least, 1.0, spread.num_clusters, spread.level))


def _stand_alone(rows: Sequence[ItemScore]) -> bool:
    return len({row.cluster for row in rows}) == len(rows)
