"""Whether an input nearly repeats another: the share of letter 5-grams that two have in common (Jaccard)."""

import re
import zlib
from heapq import nsmallest

_LETTERS, _MOST, _NEAR = 5, 128, 0.75  # of a long text the 128 lowest hashes are compared; the share as in `sketch`
_BETWEEN = re.compile(r"\W+")


class KnownInputs:
    """Those that there are, and those that were taken since."""

    def __init__(self) -> None:
        self._sketches: list[frozenset[int]] = []

    def add(self, text: str) -> None:
        """From now on it is known."""
        self._sketches.append(_sketch(text))

    def has_near(self, text: str) -> bool:
        """Whether one of them says nearly the same."""
        sketch = _sketch(text)
        return any(_likeness(sketch, each) >= _NEAR for each in self._sketches)


def _sketch(text: str) -> frozenset[int]:
    folded = _BETWEEN.sub(" ", text.casefold()).strip()
    grams = {folded[at : at + _LETTERS] for at in range(max(1, len(folded) - _LETTERS + 1))}
    return frozenset(nsmallest(_MOST, {zlib.crc32(gram.encode(errors="replace")) for gram in grams}))


def _likeness(one: frozenset[int], other: frozenset[int]) -> float:
    """Estimated from the lowest hashes of both together (bottom-k sketch, Thorup 2013); exact for short texts."""
    lowest = nsmallest(_MOST, one | other)
    return sum(each in one and each in other for each in lowest) / len(lowest)
