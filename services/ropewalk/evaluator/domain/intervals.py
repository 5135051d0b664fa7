"""How sure a number is: Wilson's interval for shares, a bootstrap over clusters for ratios.

Bits per byte is a ratio of sums over files, and files are the unit that varies, so whole files are resampled. The
bootstrap is studentised (bootstrap-t, Efron & Tibshirani 1993, 12.5) with the linearised standard error of a ratio:
with 20 files the plain percentile interval covers too little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value between two bounds. Infinite bounds mean: not measurable."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Spread:
    """An interval with how it was made: its level, its method in words, and from how many items or clusters."""

    interval: Interval
    num_items: int
    method: str
    level: float


def wilson(successes: int, trials: int) -> Interval:
    """The share of successes with Wilson's score interval (1927), which stays sane at 0 and 1.

    Raises ValueError without trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes in {trials} trials have no interval")
    from scipy.stats import binomtest  # half a second of imports, only where something was counted

    bounds = binomtest(successes, trials).proportion_ci(LEVEL, method="wilson")
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


def ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int) -> Interval:
    """Sum of numerators over sum of denominators, one pair per cluster, with its bootstrap-t interval."""
    x, y = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)  # (n,) each
    n = len(x)
    value = float(x.sum() / y.sum())
    if n < 2:  # one cluster has no spread to learn from
        return Interval(value, -np.inf, np.inf)
    residuals = x - value * y
    error = float(_error(n, (residuals**2).sum(), y.sum()))
    if error <= 1e-12 * max(1.0, abs(value)):  # all clusters agree but for rounding
        return Interval(value, value, value)
    # (RESAMPLES, n): how often each cluster was drawn. Matrix products replace a loop over resamples.
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
    total = counts @ y  # (RESAMPLES,)
    shift = counts @ residuals / total
    squares = counts @ residuals**2 - 2 * shift * (counts @ (residuals * y)) + shift**2 * (counts @ y**2)
    errors = _error(n, np.maximum(squares, 0.0), total)
    defined = errors > 1e-9 * error  # a resample of one file only has no spread
    t = shift[defined] / errors[defined]
    # The bounds swap: a resample that overshoots says how far below the estimate the truth may lie.
    high, low = np.quantile(t, [(1 + LEVEL) / 2, (1 - LEVEL) / 2])
    return Interval(value, value - float(high) * error, value - float(low) * error)


def bounded(interval: Interval, least: float, most: float, trials: int) -> Interval:
    """The interval of a mean of values between `least` and `most`, within them.

    Where all `trials` agree a bootstrap sees no spread. Then a share of 1 - ((1 - LEVEL) / 2)^(1 / trials) of others
    may have been missed (Clopper and Pearson 1934 of none in so many), each as far away as there is room.
    """
    if interval.lower == interval.upper:
        missed, value = 1 - ((1 - LEVEL) / 2) ** (1 / trials), interval.value
        return Interval(value, value - missed * (value - least), value + missed * (most - value))
    return Interval(interval.value, max(interval.lower, least), min(interval.upper, most))


def _error(n: int, squares: _Floats, total: _Floats) -> _Floats:
    """The linearised standard error of a ratio from the sum of squared residuals."""
    return np.sqrt(n / (n - 1) * squares) / total
