"""What more examples would bring: from the scores of three models that learnt from 25, 50 and 100 % of the examples.

The error falls as an inverse power of the number of examples, `a + b n^-c`, down to what no example helps against
(Cortes et al. 1993, "Learning curves: asymptotic values and rate of convergence"; Hestness et al. 2017,
arXiv 1712.00409). Three sizes hardly tell c, so the bounds do not lean on it: the lower one is a percentile of the fit
with c up to MOST_POWER, the upper one is for c towards 0, where each doubling brings what the last one did; a power
law can bring no more.

Clusters of held-out examples are resampled, each with its scores at all three sizes, so that an example that is hard
for all of them adds no uncertainty. Percentiles are those of Student's t on as many clusters (the expanded percentile
interval of Hesterberg 2015, "What teachers should know about the bootstrap"): plain ones are too narrow for few. What
another draw of the examples or another seed of the training would change is in none of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
MOST_POWER = 3.0
LEAST_DIFFERING = 6  # clusters: the sign test of fewer says nothing at 5 %, whatever they say
_RESAMPLES, _SEED, _MOST_WEIGHT = 1000, 17, 2.0  # of a cluster, in medians, as the evaluator weighs them
_POWERS = np.linspace(0.02, MOST_POWER, 60)
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A share with its interval of LEVEL."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Shares, not points. `rise` is what the last step of the curve brought, `gain` what `num_more` examples would.

    `num_differing` of `num_clusters` were answered otherwise at the last two sizes.
    """

    sizes: tuple[int, int, int]
    rise: Bounded
    num_more: int
    gain: Bounded
    num_clusters: int
    num_differing: int


def forecast(sizes: tuple[int, int, int], clusters: Sequence[str], scores: _Floats, room: float) -> Outlook:
    """`scores` is (n, 3), between 0 and 1, higher is better: of held-out examples in `clusters`, by rising size.

    `room` is the most that can be missing at the last size. Raises ValueError for sizes that do not rise.
    """
    if not 0 < sizes[0] < sizes[1] < sizes[2]:
        raise ValueError(f"sizes {sizes} do not rise")
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    counts = np.bincount(place).astype(np.float64)  # (k,)
    sums = np.stack([np.bincount(place, column) for column in scores.T], axis=1)  # (k, 3)
    weights = np.minimum(1.0, _MOST_WEIGHT * np.median(counts) / counts)
    drawn = np.random.default_rng(_SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), _RESAMPLES)
    drawn = np.concatenate([np.ones((1, len(names))), drawn]) * weights  # (1 + resamples, k), the sample itself first
    means = (drawn @ sums) / (drawn @ counts)[:, None]  # (1 + resamples, 3)
    differ = np.abs(scores[:, 1] - scores[:, 2]) > 1e-12
    num_differing, more = len(set(place[differ].tolist())), _rounded(sizes[2])
    rise, gain = means[:, 2] - means[:, 1], _gains(np.array(sizes, dtype=np.float64), means, more)
    tail = _tail(len(names))
    bounds = np.quantile(rise[1:], [tail, 1 - tail])
    most = float(bounds[1]) * math.log1p(more / sizes[2]) / math.log(sizes[2] / sizes[1])
    high = min(room, max(0.0, most)) if num_differing >= LEAST_DIFFERING else room
    return Outlook(
        sizes=sizes,
        rise=Bounded(value=float(rise[0]), low=float(bounds[0]), high=float(bounds[1])),
        num_more=more,
        gain=Bounded(value=min(float(gain[0]), high), low=min(float(np.quantile(gain[1:], tail)), high), high=high),
        num_clusters=len(names),
        num_differing=num_differing,
    )


def advice(found: Outlook, quantity: str) -> str:
    """What was seen and what follows; `quantity` is what a share is of: right fields."""
    rise, gain, more = found.rise, found.gain, f"about {found.num_more:,} more"
    seen = f"from {found.sizes[1]:,} to {found.sizes[2]:,} examples the {quantity} changed by "
    seen += _points(rise, "+") if found.num_clusters > 1 else f"{_point(rise.value, '+')} points [not measurable]"
    if gain.high < 0.01:
        most = _point(gain.high)
        return (
            f"{seen}; {more} of this kind would bring less than a point ({most} at most): look at what failed instead"
        )
    if found.num_differing < LEAST_DIFFERING:
        few = f"only {found.num_differing} of {found.num_clusters} clusters of held-out examples"
        return f"{seen}; what {more} would bring cannot be told: {few} were answered otherwise: hold out more"
    if rise.low <= 0:
        most = _point(gain.high)
        return f"{seen}; what {more} would bring cannot be told, for that interval holds 0: at most {most} points"
    return f"{seen}; {more} would bring about {_points(gain)}"


def _gains(sizes: _Floats, means: _Floats, more: int) -> _Floats:
    """Of each row of means (r, 3): what the law that fits it best says of `more` examples. Never below 0: (r,)."""
    ahead, sizes = 1 + more / sizes[-1], sizes / sizes[-1]
    x = sizes[:, None] ** -_POWERS  # (3, p)
    centred = x - x.mean(axis=0)
    slope = np.maximum(-(means @ centred) / (centred**2).sum(axis=0), 0.0)  # (r, p): b of each power
    top = means.mean(axis=1, keepdims=True) + slope * x.mean(axis=0)  # 1 - a
    through = np.maximum(((1 - means) @ x) / (x**2).sum(axis=0), 0.0)  # b where a is 0: no error is below it
    slope, top = np.where(top > 1, through, slope), np.minimum(top, 1.0)
    misfit = ((means[:, :, None] - top[:, None, :] + slope[:, None, :] * x) ** 2).sum(axis=1)  # (r, p)
    best = misfit.argmin(axis=1)
    found: _Floats = slope[np.arange(len(means)), best] * (1 - ahead ** -_POWERS[best])
    return found


def _tail(num_clusters: int) -> float:
    """Below which share of the resamples a bound lies."""
    from scipy.stats import norm, t  # half a second of imports, only where there is a curve

    if num_clusters < 2:
        return 0.0
    quantile = t.ppf((1 - LEVEL) / 2, num_clusters - 1) * math.sqrt(num_clusters / (num_clusters - 1))
    return float(norm.cdf(quantile))


def _rounded(size: int) -> int:
    """About as many again, in a number that a person would say."""
    unit = 10 ** max(0, len(str(size)) - 1)
    return max(1, round(size / unit) * unit)


def _points(found: Bounded, sign: str = "") -> str:
    return f"{_point(found.value, sign)} points [{_point(found.low, sign)}, {_point(found.high, sign)}]"


def _point(share: float, sign: str = "") -> str:
    return f"{round(100 * share, 1):{sign}g}"
