"""Arrays of items that come in clusters: their numbers, draws of whole ones, weighted means, standard errors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ropewalk.statistics.intervals import LEVEL, Interval, ratio_of_sums

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def numbered(clusters: Sequence[object]) -> _Ints:
    """The number of each item's cluster, from 0, by the order of the names as text; (items,)."""
    return np.unique(np.array([str(each) for each in clusters]), return_inverse=True)[1].astype(np.int64)


def members(place: _Ints, chosen: _Ints) -> _Ints:
    """The items of clusters, one after the other; `place` as from `numbered`, a cluster may be chosen repeatedly."""
    order, sizes = np.argsort(place, kind="stable"), np.bincount(place)
    starts, lengths = (np.cumsum(sizes) - sizes)[chosen], sizes[chosen]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(order[np.repeat(starts, lengths) + within])


def weighted_mean(
    values: _Floats, weights: _Floats, place: _Ints, *, seed: int, level: float = LEVEL
) -> tuple[Interval, _Floats]:
    """Of items, (items,) each, with its interval over clusters, and by how much each cluster moves it, (clusters,).

    Items of no weight are not there. Weights are not capped as `intervals.ratio` caps them: they undo known chances.
    """
    numerators, denominators = (np.bincount(place, each).astype(np.float64) for each in (weights * values, weights))
    has = denominators > 0
    interval = ratio_of_sums(numerators[has], denominators[has], seed=seed, level=level)
    return interval, (numerators - interval.value * denominators) / denominators.sum()


def clustered_error(values: ArrayLike, clusters: Sequence[object]) -> float:
    """Liang & Zeger's standard error (1986) with the factor clusters / (clusters - 1), of the mean of values, (items,).

    It is what Inspect prints, and statsmodels of a mean; intervals do not rest on it. NaN of fewer than two clusters.
    """
    within, _, num_clusters = _squares(values, clusters)
    return float(np.sqrt(within * num_clusters / (num_clusters - 1))) if num_clusters > 1 else float("nan")


def miller_error(values: ArrayLike, clusters: Sequence[object]) -> float:
    """The same as in Miller (2411.00640): the error of independent items and the products of pairs in a cluster."""
    within, alone, _ = _squares(values, clusters)
    n = np.size(values)
    return float(np.sqrt(max(0.0, alone * n / (n - 1) + within - alone)))


def _squares(values: ArrayLike, clusters: Sequence[object]) -> tuple[float, float, int]:
    """Sums of squares by n², of clusters' deviations and of items' deviations, and the number of clusters."""
    x = np.asarray(values, dtype=np.float64)
    away = x - x.mean()
    moves = np.bincount(numbered(clusters), away)
    return float((moves**2).sum()) / len(x) ** 2, float((away**2).sum()) / len(x) ** 2, len(moves)
