"""Do two samples come from one law, as far as their ranks tell? For what happens after an alarm, not to raise one.

The mean rank, and the mean distance of the ranks from the middle, against what every way of dealing the pooled values
would give on average. Ties have mid-ranks, and the spread is that of the ranks as they are, so a constant signal
agrees with itself.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SURE = 4.0  # standard deviations; one look errs once in 16,000, and there are a few per alarm


def agree(one: Floats, other: Floats) -> bool:
    """Whether nothing speaks against it. An empty sample agrees with everything."""
    if not len(one) or not len(other):
        return True
    pooled = np.concatenate([one, other])
    order = np.sort(pooled)
    ranks = (np.searchsorted(order, pooled, "left") + np.searchsorted(order, pooled, "right") + 1) / 2
    far = np.abs(ranks - (len(pooled) + 1) / 2)
    return max(_deviations(ranks, len(one)), _deviations(far, len(one))) < _SURE


def _deviations(scores: Floats, num_first: int) -> float:
    """How far the mean of the first few scores lies from that of all, in its standard deviations under any deal."""
    number = len(scores)
    variance = float(scores.var(ddof=1)) * (number - num_first) / (number * num_first)
    return abs(float(scores[:num_first].mean() - scores.mean())) / variance**0.5 if variance > 0 else 0.0
