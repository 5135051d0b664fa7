"""Whether an input nearly repeats another: the share of letter 5-grams that two have in common (Jaccard)."""

import re
import zlib
from collections import defaultdict
from heapq import nsmallest

_LETTERS, _MOST, _NEAR = 5, 128, 0.75  # of a long text the 128 lowest hashes are compared; the share as in `sketch`
_BETWEEN = re.compile(r"\W+")


class KnownInputs:
    """Those that there are, and those that were taken since.

    An index finds the few that can be near: of two sketches that are, at most a quarter of either comes before the
    lowest hash that both have.
    """

    def __init__(self) -> None:
        self._by_hash: defaultdict[int, list[frozenset[int]]] = defaultdict(list)

    def add(self, text: str) -> None:
        """From now on it is known."""
        sketch = _sketch(text)
        for each in _lowest(sketch):
            self._by_hash[each].append(sketch)

    def has_near(self, text: str) -> bool:
        """Whether one of them says nearly the same."""
        sketch = _sketch(text)
        known = {other for each in _lowest(sketch) for other in self._by_hash.get(each, ())}
        return any(_likeness(sketch, each) >= _NEAR for each in known)


def _sketch(text: str) -> frozenset[int]:
    folded = _BETWEEN.sub(" ", text.casefold()).strip()
    grams = {folded[at : at + _LETTERS] for at in range(max(1, len(folded) - _LETTERS + 1))}
    return frozenset(nsmallest(_MOST, {zlib.crc32(gram.encode(errors="replace")) for gram in grams}))


def _lowest(sketch: frozenset[int]) -> list[int]:
    return nsmallest(int(len(sketch) * (1 - _NEAR)) + 1, sketch)


def _likeness(one: frozenset[int], other: frozenset[int]) -> float:
    """Estimated from the lowest hashes of both together (bottom-k sketch, Thorup 2013); exact for short texts."""
    lowest = nsmallest(_MOST, one | other)
    return sum(each in one and each in other for each in lowest) / len(lowest)
