"""What a character is to a word, in every script, and one spelling of a text for matching.

Most scripts put spaces between words (Tibetan a tsheg), so a word is a run of letters, digits and marks. Ideographs
and kana are words of their own. Thai, Lao, Khmer, Burmese and their relatives put nothing between words; what divides
them here is in `words`.
"""

import re
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

SEPARATOR, WORD, SINGLE, UNSPACED, MARK = range(5)

_SINGLES = (
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3021, 0x303C),
    (0x3041, 0x312F),  # hiragana, katakana, bopomofo
    (0x31A0, 0x4DBF),
    (0x4E00, 0xA4CF),  # Han, Yi
    (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F),
    (0x20000, 0x3FFFF),
)
# the letters of line-breaking class SA ("complex context", Unicode annex 14), Javanese and Balinese
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese, Shan, Mon
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0xA980, 0xA9FF),  # Javanese
    (0xAA60, 0xAADF),  # Burmese, Tai Viet
    (0x11700, 0x1174F),  # Ahom
)
# format characters, variation selectors and fillers: nothing is seen of them
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_STRAIGHT = (
    (re.compile("[\u2018-\u201b\u2032\u00b4`\u02bc\u2039\u203a]"), "'"),
    (re.compile("[\u201c-\u201f\u2033\u00ab\u00bb]"), '"'),
    (re.compile("[\u2010-\u2015\u2212]"), "-"),
)


def fold(text: str) -> str:
    """The text as it is matched: compatibility forms (NFKC), no capitals, nothing invisible."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _INVISIBLE.sub("", folded)


def fold_whole(text: str) -> str:
    """The same for whole texts: besides, straight quotes and hyphens, and one space for any white space."""
    folded = fold(text)
    for curly, straight in () if folded.isascii() and "`" not in folded else _STRAIGHT:
        folded = curly.sub(straight, folded)
    return " ".join(folded.split())


def code_points(text: str) -> NDArray[np.uint8] | NDArray[np.uint32]:
    """The characters as numbers: one byte each where that is enough. Raises UnicodeEncodeError on lone surrogates."""
    if text.isascii():
        return np.frombuffer(text.encode(), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


@cache
def kinds() -> NDArray[np.uint8]:
    """SEPARATOR, WORD, SINGLE, UNSPACED or MARK for every code point."""
    table = np.zeros(0x110000, dtype=np.uint8)
    for number in range(0xE0000):  # beyond are no letters
        table[number] = _kind(unicodedata.category(chr(number)))
    letters = table == WORD
    for ranges, kind in ((_SINGLES, SINGLE), (_UNSPACED, UNSPACED)):
        for first, last in ranges:
            part = slice(first, last + 1)
            table[part][letters[part]] = kind
    return table


def count_letters(text: str) -> int:
    """Letters and digits, without the marks above, below and around them."""
    found = kinds()[code_points(text)]
    return int(((found != SEPARATOR) & (found != MARK)).sum())


def _kind(category: str) -> int:
    if category[0] == "M":
        return MARK
    return WORD if category[0] in "LN" or category == "Pc" else SEPARATOR
