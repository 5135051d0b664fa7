"""Times as people write them."""

import re
from datetime import UTC, datetime, timedelta

from ropewalk.client.errors import ClientError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_RELATIVE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])[a-z]*(?:\s+ago)?")


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment in UTC. Without a zone the text is UTC. Raises ClientError with what would be understood."""
    words = text.strip().lower()
    if words == "now":
        return now
    if relative := _RELATIVE.fullmatch(words):
        return _back(now, float(relative[1]) * _UNITS[relative[2]], text)
    try:
        moment = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        raise _misunderstood(text) from None
    if not re.match(r"\d{4}-\d{2}-\d{2}", text.strip()):
        raise _misunderstood(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _back(now: datetime, seconds: float, text: str) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        raise _misunderstood(text) from None


def _misunderstood(text: str) -> ClientError:
    return ClientError(
        f"the time {text!r} is not understood: write 2026-11-23T10:15:00Z, '2026-11-23 10:15' (UTC) or '2h ago'"
    )
