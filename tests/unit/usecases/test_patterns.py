"""A text has a pattern's form whatever was asked before it."""

import random
import re

import pytest

from ropewalk.usecases import patterns
from ropewalk.usecases.patterns import has_form
from ropewalk.usecases.schema import AnswerChecker

COSTLY = "^.{1,60}( .{1,60}){1,5}$"
WORDS = "the refund order Return is not here please cancel a Foo bar Anna Smith, 2024-01-02 x@y.de 12 345"


def texts(number: int) -> list[str]:
    chance = random.Random(1)
    return [" ".join(chance.choice(WORDS.split()) for _ in range(chance.randint(3, 20))) for _ in range(number)]


def test_many_different_texts_of_one_pattern_all_stay_valid() -> None:
    compiled = list[None]()
    for text in texts(300):
        assert re.search(COSTLY, text)
        assert has_form(text, COSTLY, lambda: compiled.append(None)), text
    assert 0 < len(compiled) < 30  # or nothing was used up, and this shows nothing
    assert not has_form("one", COSTLY)


ODD = ['"', "\\", "\x00", "\x08", "\x1b", "\x7f", "\x80", "\x9f", "\n", "\t", "é", "\u2028", "\ufeff", "\ufffd",
       "\U0001f600", "/", "a", " ", "u007f", "\\u007f"]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[\s\S]*$",
        "^.$",
        "[^a]",
        "^a$",
        r"^\x7f$",
        '^["/]$',
        r"^\\$",
        r"\\",
        "u007f",
        '^[^"]*$',
        '[^"]',
        r'^[^"]$|^\\$',
        "(^.|b)$",
    ],
)
def test_odd_characters_have_the_form_that_python_says(pattern: str) -> None:
    assert [text for text in ODD if has_form(text, pattern)] == [text for text in ODD if re.search(pattern, text)]


def test_an_answer_may_compile_a_pattern_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = list[str]()
    checker = AnswerChecker({"items": {"anyOf": [{"pattern": "^a{1,3}$"}, True]}})
    monkeypatch.setattr(patterns, "_compiled", compiled.append)
    monkeypatch.setattr(patterns, "_matched", lambda matcher, body: (False, True))  # nothing can be decided
    assert checker.fits(["a"] * 10)
    assert len(compiled) == 10
    assert not checker.fits(["a"] * 1_000)
    assert len(compiled) < 250
    patterns._known.cache_clear()  # of the matchers that are none
