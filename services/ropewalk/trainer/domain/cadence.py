"""How often a run is saved. Pure: what a save costs and how long ago the last one was, in; whether it is time, out.

Young's rule balances what saves cost against what a loss costs, which is half an interval: sqrt(2 * cost * time
between failures). Beside it saving may take no more than its share of the time, and no interval is very short or long.
"""

from math import sqrt

_BETWEEN_FAILURES_S = 6 * 3600.0  # a guess on the safe side: clusters of 1,000 cards fail about every eight hours
_SHARE = 0.005  # of the time may be spent on saving
_SHORTEST_S, _LONGEST_S = 60.0, 300.0


def interval_s(cost_s: float) -> float:
    """Seconds between two saves that cost that much each; 0: not known yet."""
    young = sqrt(2.0 * cost_s * _BETWEEN_FAILURES_S)
    return max(cost_s / _SHARE, min(_LONGEST_S, max(_SHORTEST_S, young)))


def is_due(step: int, every: int, since_s: float, cost_s: float, *, would_wait: bool = False) -> bool:
    """Whether to save after `step` steps: at every multiple of `every`, and before if the last save is long ago.

    `would_wait`: the save before is still being written, and the steps are too fast to wait for it.
    """
    return not would_wait and (step % every == 0 or since_s >= interval_s(cost_s))
