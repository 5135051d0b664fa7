"""Scores of a document, and the bounds of each profile.

Scores are stored beside the documents and bounds applied afterwards, so that another threshold is not another pass
over the text. Prose follows Gopher (arXiv 2112.11446, table A1) without its English word list, its limit of 10 letters
a word and its limits on length, which would refuse other languages, notes and books; code follows StarCoder (arXiv
2305.06161, section 3).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ropewalk.preprocessing.domain.normalise import Profile
from ropewalk.preprocessing.domain.scripts import count_letters

_LETTERS = np.array([(chr(byte).isalpha() and byte < 0x80) or byte >= 0xC0 for byte in range(256)])
_DIGITS = np.array([0x30 <= byte <= 0x39 for byte in range(256)])
_SPACES = np.array([byte in b" \t\n" for byte in range(256)])
_CONTINUATIONS = np.array([0x80 <= byte < 0xC0 for byte in range(256)])
_LONGEST_WORDS = 17  # on average: German and Greenlandic compounds come to 15, lines of base64 to 20 and more


@dataclass(frozen=True)
class _Bound:
    """A document is dropped for `reason` when the score lies outside."""

    reason: str
    score: str
    low: float = float("-inf")
    high: float = float("inf")


_BOUNDS: dict[Profile, tuple[_Bound, ...]] = {
    "code": (
        _Bound("too_short", "num_words", low=10),
        _Bound("long_lines", "max_line_bytes", high=1000),
        _Bound("long_lines", "mean_line_bytes", high=100),
        _Bound("few_letters", "letter_share", low=0.25),
    ),
    "prose": (
        _Bound("too_short", "num_words", low=10),
        _Bound("long_words", "mean_word_chars", high=_LONGEST_WORDS),
        _Bound("few_letters", "letter_share", low=0.6),
        _Bound("symbols", "hash_or_ellipsis_per_word", high=0.1),
        _Bound("bullets", "bullet_line_share", high=0.9),
        _Bound("ellipses", "ellipsis_line_share", high=0.3),
        _Bound("repeated_lines", "duplicate_line_share", high=0.3),
    ),
}


def score(text: str, num_words: int) -> dict[str, float]:
    """Measure a normalised text; its words were counted with `words.hash_words`.

    Shares are of the characters that are not white space, of the words, or of the lines that are not blank. The
    characters of a word are its letters and digits: vowel signs and other marks would make the words of Malayalam or
    Tamil twice as long as they are.
    """
    raw = np.frombuffer(text.encode(), dtype=np.uint8)
    counts = np.bincount(raw, minlength=256)
    num_chars = max(1, int(counts[~_SPACES & ~_CONTINUATIONS].sum()))
    line_bytes = np.diff(np.concatenate(([-1], np.flatnonzero(raw == 0x0A), [len(raw)]))) - 1
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    num_lines = max(1, len(lines))
    repeated = sum(count - 1 for count in Counter(lines).values())
    return {
        "num_chars": num_chars,
        "num_words": num_words,
        "num_lines": num_lines,
        "mean_line_bytes": float(line_bytes.sum()) / num_lines,
        "max_line_bytes": int(line_bytes.max()),
        "mean_word_chars": count_letters(text) / max(1, num_words),
        "letter_share": int(counts[_LETTERS].sum()) / num_chars,
        "digit_share": int(counts[_DIGITS].sum()) / num_chars,
        "hash_or_ellipsis_per_word": (int(counts[0x23]) + text.count("...") + text.count("…")) / max(1, num_words),
        "bullet_line_share": sum(line.startswith(("- ", "* ", "•")) for line in lines) / num_lines,
        "ellipsis_line_share": sum(line.endswith(("...", "…")) for line in lines) / num_lines,
        "duplicate_line_share": repeated / num_lines,
    }


def fault(scores: dict[str, float], profile: Profile) -> str | None:
    """The first reason to drop a document with these scores, or None."""
    broken = (bound.reason for bound in _BOUNDS[profile] if not bound.low <= scores[bound.score] <= bound.high)
    return next(broken, None)
