"""Times as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from ropewalk.client.errors import ClientError
from ropewalk.client.moments import parse_moment

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T10:15:00Z", datetime(2026, 11, 23, 10, 15, tzinfo=UTC)),
        ("2026-11-23t10:15:00.250z", datetime(2026, 11, 23, 10, 15, 0, 250_000, tzinfo=UTC)),
        ("2026-11-23T12:15:00+02:00", datetime(2026, 11, 23, 10, 15, tzinfo=UTC)),
        ("2026-11-23 10:15", datetime(2026, 11, 23, 10, 15, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2h ago", NOW - timedelta(hours=2)),
        ("90 minutes ago", NOW - timedelta(minutes=90)),
        ("1.5d", NOW - timedelta(days=1.5)),
        (" now ", NOW),
    ],
)
def test_times_are_understood(text, moment):
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10:15", "2026-13-01", "20261123", "99999999999d ago", "-2h", "2h hence"]
)
def test_what_is_no_time_is_shown_with_what_would_be(text):
    with pytest.raises(ClientError, match="is not understood: write 2026-11-23T10:15:00Z"):
        parse_moment(text, NOW)
