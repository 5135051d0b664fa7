"""How measured values are told: the middle, the edge, the worst."""

import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of all lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and maximum in milliseconds."""
    return {
        "p50": round(1e3 * statistics.median(seconds), 2),
        "p99": round(1e3 * percentile(seconds, 0.99), 2),
        "max": round(1e3 * max(seconds), 2),
    }
