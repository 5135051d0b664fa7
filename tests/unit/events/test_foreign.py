"""The one cutter: whatever somebody else wrote becomes short, flat and harmless."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ropewalk.events.foreign import LIMIT, cut, one_line, quoted


def test_a_short_text_stays_as_it_is_and_a_long_one_says_how_long_it_was() -> None:
    assert cut("pycode") == "pycode"
    assert cut("x" * 400_000) == "x" * LIMIT + "… (400,000 characters)"


def test_escape_sequences_line_breaks_and_direction_marks_are_written_out() -> None:
    assert one_line("a\x1b[31mb\r\n\u202ec\ud800") == r"a\x1b[31mb\r\n\u202ec\ud800"


def test_letters_of_every_script_and_joined_emoji_stay() -> None:
    for text in ("ราคา", "میخواهم", "👩‍💻", "naïve 漢字", "Qui\u00a0? \u202foui", "東京\u3000駅"):
        assert one_line(text) == text


def test_a_value_of_any_size_and_depth_is_quoted_in_a_few_words() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    for value in ({"k" * 400_000: "v" * 400_000}, list(range(10**6)), 10**10_000, nested, "x\n" * 10**6, {"a": None}):
        assert len(quoted(value)) <= 2 * LIMIT + 40
    assert quoted({"a": [1, "b"]}) == "{'a': [1, 'b']}"


@given(st.text())
def test_what_is_shown_is_one_line_that_any_encoder_takes(text: str) -> None:
    shown = one_line(text)
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1
    assert json.loads(json.dumps(shown)) == shown
