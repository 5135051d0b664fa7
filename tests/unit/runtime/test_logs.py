"""A warning that repeats is written once a minute; nothing else is held back."""

import logging

import pytest

from ropewalk.runtime import logs
from ropewalk.runtime.logs import OncePerMinute


def a_record(text: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("bus", level, "file", 1, "bus: %s", (text,), None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    return now


def test_a_warning_is_written_again_after_a_minute_with_how_often_it_came(clock: list[float]) -> None:
    once = OncePerMinute()
    assert once.filter(a_record("refused"))
    assert not once.filter(a_record("refused"))
    assert not once.filter(a_record("refused"))
    clock[0] += 61
    again = a_record("refused")
    assert once.filter(again)
    assert again.getMessage() == "bus: refused (and 2 times before)"


def test_other_words_and_other_levels_are_written_at_once(clock: list[float]) -> None:
    once = OncePerMinute()
    assert once.filter(a_record("refused"))
    assert once.filter(a_record("reset"))
    for level in (logging.INFO, logging.ERROR):
        assert once.filter(a_record("refused", level))
        assert once.filter(a_record("refused", level))
