"""The interval of any statistic of items: the wider of bootstrap and jackknife over clusters of items, bound by bound.

As in `intervals`, but for what is no ratio of sums: alpha, kappas, rank correlations, a rater's drift.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.clustered import members, numbered
from ropewalk.statistics.intervals import LEVEL, Interval

RESAMPLES = 500
_Ints = NDArray[np.int64]
_ENOUGH = 0.5  # of all resamples must have a value


def resampled(
    statistic: Callable[[_Ints], float],
    clusters: Sequence[object],
    *,
    seed: int,
    level: float = LEVEL,
    within: tuple[float, float] = (-1.0, 1.0),
) -> Interval:
    """`statistic` of the places of items, with percentiles of RESAMPLES bootstrap draws and jackknife-t.

    `clusters` has one name per item; whole ones are drawn. `within`: the least and the most that the statistic can be.
    Infinite bounds where there are fewer than two clusters or most resamples have no value (NaN).
    """
    from scipy.stats import t  # half a second of imports, only where something was rated

    place = numbered(clusters)
    value, n = statistic(np.arange(len(place))), int(place.max()) + 1
    nothing = Interval(value, -np.inf, np.inf)
    if n < 2 or np.isnan(value):
        return nothing
    draws = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    found = np.array([statistic(members(place, draw)) for draw in draws])
    found = found[~np.isnan(found)]
    if len(found) < _ENOUGH * RESAMPLES:
        return nothing
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    without = np.array([statistic(np.flatnonzero(place != each)) for each in range(n)])
    without = without[~np.isnan(without)]
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()) if len(without) else 0.0
    reach = float(t.ppf((1 + level) / 2, n - 1) * error)
    lower, upper = min(float(low), value - reach), max(float(high), value + reach)
    return Interval(value, max(within[0], lower), min(within[1], upper))
