"""The mean of labels that are few, helped by predictions that are many: PPI++ (Angelopoulos et al. 2311.01453)."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ropewalk.evaluator.domain.clustered import numbered, weighted_mean
from ropewalk.statistics.intervals import LEVEL, Interval, bounded

_Floats = NDArray[np.float64]


def ppi_mean(
    labels: ArrayLike, predictions: ArrayLike, unlabelled: ArrayLike, level: float = LEVEL, power: float | None = None
) -> tuple[Interval, float]:
    """The published estimator with its normal interval, and lambda: for hundreds of independent labels.

    `labels` and `predictions` (n,) of the same items, `unlabelled` predictions of others (N,). `power` is lambda, by
    default the best one within 0 and 1.
    """
    y, f, g = (np.asarray(each, dtype=np.float64) for each in (labels, predictions, unlabelled))
    n, more = len(y), len(g)
    if power is None:
        everywhere = np.concatenate([f, g]).var(ddof=1)
        covariance = float(((y - y.mean()) * (f - f.mean())).mean())
        power = float(np.clip(covariance / (everywhere * (1 + n / more)), 0, 1)) if everywhere > 0 else 0.0
    value = float(power * g.mean() + (y - power * f).mean())
    error = float(np.sqrt((power * g).var() / more + (y - power * f).var() / n))
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(value, value - reach, value + reach), power


@dataclass(frozen=True, kw_only=True)
class Known:
    """Of the same items, all (items,): `labels` with NaN where there is none, honest `predictions` (from other
    clusters' labels), `chances` with which labels were drawn, and `clusters`; labels and predictions are in `span`."""

    labels: _Floats
    predictions: _Floats
    chances: _Floats
    clusters: Sequence[object]
    span: tuple[float, float]


def powered(known: Known, *, seed: int, level: float = LEVEL) -> tuple[Interval, float]:
    """The mean label of all items, and lambda: PPI++ where clusters vary, labels are drawn and few.

    Predictions' mean over all items and the labels' mean distance from them have the small-sample interval over
    clusters each; the two are joined bound by bound (MOVER, Zou & Donner 2008) with the correlation of what a cluster
    does to both.
    """
    drawn = ~np.isnan(known.labels)
    weights = np.where(drawn, 1 / np.where(drawn, known.chances, 1.0), 0.0)
    labels, predicted = np.where(drawn, known.labels, 0.0), known.predictions
    power = _power(labels[drawn], predicted[drawn], weights[drawn])
    place = numbered(known.clusters)
    base, base_moves = weighted_mean(power * predicted, np.ones(len(labels)), place, seed=seed, level=level)
    gap, gap_moves = weighted_mean(labels - power * predicted, weights, place, seed=seed, level=level)
    least, most = known.span
    gap = bounded(gap, least - power * most, most - power * least, len(np.unique(place[drawn])), level)
    scale = float(np.sqrt((base_moves**2).sum() * (gap_moves**2).sum()))
    together = float((base_moves * gap_moves).sum()) / scale if scale > 0 else 0.0
    value = base.value + gap.value
    down = _joined(base.value - base.lower, gap.value - gap.lower, together)
    up = _joined(base.upper - base.value, gap.upper - gap.value, together)
    return Interval(value, max(least, value - down), min(most, value + up)), power


def _power(labels: _Floats, predicted: _Floats, weights: _Floats) -> float:
    """Lambda: how far predictions are to be believed, from 0 to 1; 0 where they go against the labels."""
    shares = weights / weights.sum()
    apart = predicted - shares @ predicted
    spread = float(shares @ apart**2)
    return float(np.clip(shares @ (apart * labels) / spread, 0, 1)) if spread > 1e-12 else 0.0


def _joined(first: float, second: float, together: float) -> float:
    """How far a sum reaches whose parts reach so far and have this correlation."""
    if np.isinf(first) or np.isinf(second):
        return float("inf")
    return float(np.sqrt(max(0.0, first**2 + second**2 + 2 * together * first * second)))
