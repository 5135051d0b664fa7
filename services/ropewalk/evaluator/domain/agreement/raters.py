"""How strict each rater is against the others, and whether that changed while they worked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.evaluator.domain.agreement.resampling import resampled
from ropewalk.statistics.intervals import LEVEL, Interval
from ropewalk.statistics.ratings import Ratings, numbers

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Habit:
    """Of one rater, in grades: `severity` is how far below the others they grade the same items, `drift` by how much
    that grows from their first rating to their last. Infinite bounds: not measurable."""

    severity: Interval
    drift: Interval
    num_items: int


def habits(
    ratings: Ratings, clusters: Sequence[object], *, order: Ratings | None = None, seed: int, level: float = LEVEL
) -> list[Habit]:
    """One per rater. `ratings` and `order` are raters x items; `order` says when each was given, by default as listed.

    Severity is the mean gap to the mean of the others on shared items, drift the least-squares slope of that gap over
    the order times its reach; both with intervals over the clusters of items (one name per item).
    """
    table = numbers(ratings)
    times = np.tile(np.arange(table.shape[1], dtype=np.float64), (len(table), 1)) if order is None else numbers(order)
    rated = ~np.isnan(table)
    found = []
    for rater, row in enumerate(table):
        others = rated.sum(axis=0) - rated[rater]
        shared = np.flatnonzero(rated[rater] & (others > 0))
        sums = np.nansum(table, axis=0)[shared] - row[shared]
        gap, when = sums / others[shared] - row[shared], times[rater, shared]
        names = [clusters[item] for item in shared]
        if not names:
            nothing = Interval(float("nan"), -np.inf, np.inf)
            found.append(Habit(nothing, nothing, 0))
            continue
        anywhere = (-np.inf, np.inf)
        severity = resampled(_Mean(gap), names, seed=seed, level=level, within=anywhere)
        drift = resampled(_Rise(gap, when), names, seed=seed, level=level, within=anywhere)
        found.append(Habit(severity, drift, len(names)))
    return found


@dataclass(frozen=True)
class _Mean:
    gap: _Floats

    def __call__(self, items: NDArray[np.int64]) -> float:
        return float(self.gap[items].mean())


@dataclass(frozen=True)
class _Rise:
    gap: _Floats
    when: _Floats

    def __call__(self, items: NDArray[np.int64]) -> float:
        centred = self.when[items] - self.when[items].mean()
        spread = float((centred**2).sum())
        reach = float(self.when.max() - self.when.min())
        return reach * float(centred @ self.gap[items]) / spread if spread > 0 else float("nan")
