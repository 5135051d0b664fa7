"""The one cutter: text that somebody else wrote, made fit for an event, a log, a sentence, a list or a terminal.

A model name, a field name, a path, a prompt or a vendor's error may be megabytes long, nested without end, or full
of control characters. What is echoed of it goes through here; what is *kept* of it (a document, a prompt in the
request log) has a bound of its own where it is kept.
"""

import reprlib
import unicodedata

LIMIT = 200  # characters; at most 800 bytes of UTF-8, 2,400 where all of it must be escaped
_JOINERS = "\u200c\u200d"  # invisible, harmless, and needed to write Persian, Hindi and many emoji


class _Bounded(reprlib.Repr):
    """`repr` that looks at the first few parts of a value only, whatever its size and depth."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 6
        self.maxstring = self.maxother = LIMIT
        self.maxlong = 40

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 4 * LIMIT:  # Python refuses to write integers of more than 4,300 digits
            return f"<an integer of {x.bit_length()} bits>"
        return super().repr_int(x, level)


_BOUNDED = _Bounded()


def cut(text: str, limit: int = LIMIT) -> str:
    """At most `limit` characters of `text`, and how long it was if that is not all of it."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def one_line(text: str, limit: int = LIMIT) -> str:
    """`text` cut, on one line, with everything that a terminal would act upon escaped.

    Control characters, line breaks, direction marks and lone surrogates become `\\n`, `\\x1b`, `\\u202e`. Letters and
    spaces of every script stay as they are.
    """
    kept = cut(text, limit)
    if kept.isprintable():
        return kept
    return "".join(char if _harmless(char) else _escaped(char) for char in kept)


def several_lines(text: str, limit: int = 0) -> str:
    """As `one_line`, for a text that may have lines and tabs: a completion, a recipe. `limit` 0: all of it."""
    kept = cut(text, limit) if limit else text
    if kept.isprintable():
        return kept
    return "\n".join("\t".join(one_line(cell, len(cell)) for cell in line.split("\t")) for line in kept.split("\n"))


def quoted(value: object) -> str:
    """Any value as a sentence quotes it: `repr` of its beginning, on one line, whatever its size and depth."""
    return one_line(_BOUNDED.repr(value), 2 * LIMIT)


def _harmless(char: str) -> bool:
    """Python calls every space but the plain one unprintable; French and Japanese cannot be written without them."""
    return char.isprintable() or char in _JOINERS or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    return ascii(char)[1:-1]
