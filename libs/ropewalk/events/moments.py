"""Times of messages as moments of the calendar."""

import math
from datetime import UTC, datetime

_LAST = 253_370_764_800.0  # the year 9999; later ones cannot be written


def moment_of(unix: float) -> datetime:
    """A time in seconds since 1970, UTC, held within what a calendar can write: anybody may have sent it."""
    return datetime.fromtimestamp(0.0 if math.isnan(unix) else min(max(unix, 0.0), _LAST), UTC)
