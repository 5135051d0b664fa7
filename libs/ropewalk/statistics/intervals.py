"""How sure a number is: Wilson's interval for shares, the wider of bootstrap and jackknife over clusters for ratios.

Bits per byte is a ratio of sums over clusters (files, packages, authors), and clusters are the unit that varies, so
whole ones are resampled. The bootstrap is studentised (bootstrap-t, Efron & Tibshirani 1993, 12.5) with the linearised
standard error of a ratio: with 20 clusters the plain percentile interval covers too little. It sees skew and not the
tails that a small sample lacks; the jackknife-t (Tukey 1958; Efron & Tibshirani 1993, 11.5) is the other way round,
so each bound is the wider of the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000
MOST_WEIGHT = 2.0  # of a cluster, in medians
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value between two bounds. Infinite bounds mean: not measurable."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Spread:
    """An interval with how it was made: its level, its method in words, from how many items in how many clusters."""

    interval: Interval
    num_items: int
    num_clusters: int
    method: str
    level: float
    num_effective: float = 0.0  # items that each stand alone and would be as sure; 0: not known


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """The share of successes with Wilson's score interval (1927), which stays sane at 0 and 1.

    Raises ValueError without trials.
    """
    return _share(successes, trials, level, "wilson")


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """The same with the exact interval of Clopper and Pearson (1934), which is never too narrow."""
    return _share(successes, trials, level, "exact")


def _share(successes: int, trials: int, level: float, method: str) -> Interval:
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes in {trials} trials have no interval")
    from scipy.stats import binomtest  # half a second of imports, only where something was counted

    bounds = binomtest(successes, trials).proportion_ci(level, method=method)
    return Interval(successes / trials, float(bounds.low), float(bounds.high))


def paired_trials(won: int, lost: int, trials: int, level: float) -> Interval:
    """The difference of two shares of the same trials, of which `won` are only ours and `lost` only theirs.

    Both bounds are Clopper and Pearson's (1934) for the share of `won` among the trials that tell the two apart, so the
    upper one is below 0 exactly where a sign test at (1 - level) / 2 says that ours is worse.
    """
    from scipy.stats import beta  # half a second of imports, only where two models were compared

    apart, tail = won + lost, (1 - level) / 2
    low = float(beta.ppf(tail, won, lost + 1)) if won else 0.0
    high = float(beta.ppf(1 - tail, won + 1, lost)) if lost else 1.0
    scale = apart / trials
    return Interval((won - lost) / trials, (2 * low - 1) * scale, (2 * high - 1) * scale)


def ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int, level: float = LEVEL) -> Interval:
    """Sum of numerators over sum of denominators, one pair per cluster, with the interval of the module's docstring.

    A cluster with a denominator above MOST_WEIGHT times their median counts as if it had as much and the same ratio:
    where few clusters weigh as much as all others, no interval from them is to be trusted.
    """
    x, y = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)  # (n,) each
    weights = np.minimum(1.0, MOST_WEIGHT * np.median(y) / y)
    return ratio_of_sums(weights * x, weights * y, seed=seed, level=level)


def ratio_of_sums(x: _Floats, y: _Floats, *, seed: int, level: float = LEVEL) -> Interval:
    """The same with all their weight, for what was drawn with known chances. Both arrays are (n,), one per cluster."""
    n = len(x)
    value = float(x.sum() / y.sum())
    if n < 2:  # one cluster has no spread to learn from
        return Interval(value, -np.inf, np.inf)
    residuals = x - value * y
    error = float(_error(n, (residuals**2).sum(), y.sum()))
    if error <= 1e-12 * max(1.0, abs(value)):  # all clusters agree but for rounding
        return Interval(value, value, value)
    low, high = _bootstrap_t(residuals, y, error, seed, level)
    reach = _jackknife_t(x, y, level)
    return Interval(value, value - max(high, reach), value + max(-low, reach))


def _bootstrap_t(residuals: _Floats, y: _Floats, error: float, seed: int, level: float) -> tuple[float, float]:
    """The lower and upper quantile of how far resamples are off. Both arrays are (n,)."""
    n = len(y)
    # (RESAMPLES, n): how often each cluster was drawn, counted at once, which is four times as fast as a multinomial.
    drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n).astype(np.float64)
    total = counts @ y  # (RESAMPLES,)
    shift = counts @ residuals / total
    squares = counts @ residuals**2 - 2 * shift * (counts @ (residuals * y)) + shift**2 * (counts @ y**2)
    errors = _error(n, np.maximum(squares, 0.0), total)
    # A resample in which all agree has no spread, but for what rounding leaves: about 1e-8 of `error`.
    defined = errors > 1e-6 * error
    # The bounds swap: a resample that overshoots says how far below the estimate the truth may lie.
    low, high = np.quantile(shift[defined] / errors[defined], [(1 - level) / 2, (1 + level) / 2])
    return float(low) * error, float(high) * error


def _jackknife_t(x: _Floats, y: _Floats, level: float) -> float:
    """Student's t times the standard error from the ratios that leave one cluster out. Both arrays are (n,)."""
    from scipy.stats import t  # half a second of imports, only where something was measured

    n = len(x)
    without = (x.sum() - x) / (y.sum() - y)
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    return float(t.ppf((1 + level) / 2, n - 1) * error)


def bounded(interval: Interval, least: float, most: float, trials: int, level: float = LEVEL) -> Interval:
    """The interval of a mean of values between `least` and `most`, within them.

    Where all `trials` agree a bootstrap sees no spread. Then a share of 1 - ((1 - level) / 2)^(1 / trials) of others
    may have been missed (Clopper and Pearson 1934 of none in so many), each as far away as there is room.
    """
    if interval.lower == interval.upper:
        missed, value = 1 - ((1 - level) / 2) ** (1 / trials), interval.value
        return Interval(value, value - missed * (value - least), value + missed * (most - value))
    return Interval(interval.value, max(interval.lower, least), min(interval.upper, most))


def _error(n: int, squares: _Floats, total: _Floats) -> _Floats:
    """The linearised standard error of a ratio from the sum of squared residuals."""
    return np.sqrt(n / (n - 1) * squares) / total
