"""Rank correlations of two sets of scores of the same items, and McNemar's test of two sets of right and wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ropewalk.evaluator.domain.agreement.resampling import resampled
from ropewalk.statistics.intervals import Interval
from ropewalk.statistics.ratings import square

Rank = Callable[[ArrayLike, ArrayLike], float]


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rho (1904) of two lists of one length; ties have their middle rank. NaN where one never varies."""
    from scipy.stats import rankdata  # half a second of imports, only where something was rated

    x, y = rankdata(np.asarray(first)), rankdata(np.asarray(second))
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 0 else float("nan")


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's tau-b (1945), which takes ties into account. NaN where one never varies."""
    from scipy.stats import kendalltau

    return float(kendalltau(np.asarray(first), np.asarray(second), variant="b").statistic)


def rank_interval(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[object], *, seed: int, statistic: Rank = spearman
) -> Interval:
    """Spearman's rho or Kendall's tau-b with its 95 % interval over clusters; `clusters` has one name per item."""
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return resampled(lambda items: statistic(x[items], y[items]), clusters, seed=seed)


@dataclass(frozen=True)
class McNemar:
    """The statistic without and with Edwards' correction (1948), their p-values, and the exact two-sided one."""

    statistic: float
    p: float
    corrected: float
    corrected_p: float
    exact_p: float


def mcnemar(table: ArrayLike) -> McNemar:
    """McNemar's test (1947) from counts [[both right, only the first], [only the second, none]]."""
    from scipy.stats import binom, chi2

    found = square(table)
    if found.shape != (2, 2):
        raise ValueError(f"McNemar's test is of a table of 2 x 2, not of shape {found.shape}")
    won, lost = found[0, 1], found[1, 0]
    apart = won + lost
    if not apart:  # the two never differ
        return McNemar(0.0, 1.0, 0.0, 1.0, 1.0)
    plain, corrected = (won - lost) ** 2 / apart, max(0.0, abs(won - lost) - 1) ** 2 / apart
    exact = min(1.0, 2 * float(binom.cdf(min(won, lost), apart, 0.5)))
    return McNemar(float(plain), float(chi2.sf(plain, 1)), float(corrected), float(chi2.sf(corrected, 1)), exact)
