"""What an event says to a person, on one line."""

from ropewalk.client.describe import describe
from ropewalk.events.data import RecordQuarantined


def test_what_was_set_aside_is_said_with_its_first_place() -> None:
    message = RecordQuarantined(
        run_id="r", source_id="s", reason="not_utf8", num_records=1200, examples=("a\n.txt: offset 3", "b"), uri="u"
    )
    assert describe(message) == "1,200 set aside: not_utf8; the first: a\\n.txt: offset 3"
