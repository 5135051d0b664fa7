"""Words and n-grams of many documents as flat arrays of 64-bit hashes.

A word is a run of ASCII letters, digits, underscores and non-ASCII characters, lower-cased in ASCII. A character
from U+3000 on begins a word of its own, so that scripts without spaces have words too. Vectorised, because word
splitting in Python is the bottleneck of the usual tools (0.3 MB/s per core there, about 30 here).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Hashes = NDArray[np.uint64]
_BATCH_BYTES = 1_000_000  # about 60 bytes of arrays per byte of text
_BASE = np.uint64(0x100000001B3)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_IDEOGRAPH_LEAD = 0xE3  # the first byte of U+3000 and beyond in UTF-8


def _lower_table() -> NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    table[ord("A") : ord("Z") + 1] += 32
    return table


def _word_table() -> NDArray[np.bool_]:
    table = np.zeros(256, dtype=np.bool_)
    for byte in b"abcdefghijklmnopqrstuvwxyz0123456789_":
        table[byte] = True
    table[0x80:] = True
    return table


_LOWER = _lower_table()
_IS_WORD = _word_table()


@dataclass(frozen=True)
class Ragged:
    """Hashes of several documents: those of document d are `hashes[offsets[d]:offsets[d + 1]]`."""

    hashes: _Hashes
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many hashes each document has."""
        return np.diff(self.offsets)


def batches(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group texts so that the arrays of a group stay small."""
    group: list[bytes] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text)
        if size >= _BATCH_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def hash_words(texts: list[bytes]) -> Ragged:
    """The word hashes of UTF-8 texts: polynomials over the bytes of each word, modulo 2**64."""
    joined = _LOWER[np.frombuffer(b" ".join([*texts, b""]), dtype=np.uint8)]
    ends = np.cumsum([len(text) + 1 for text in texts])
    inside = _IS_WORD[joined]
    begins = inside & ~np.concatenate(([False], inside[:-1]))
    begins |= joined >= _IDEOGRAPH_LEAD
    starts = np.flatnonzero(begins)
    offsets = np.concatenate(([0], np.searchsorted(starts, ends))).astype(np.int64)
    if not len(starts):
        return Ragged(np.zeros(0, dtype=np.uint64), offsets)
    spans = np.diff(np.append(starts, len(joined)))
    place: NDArray[np.int64] = np.arange(starts[0], len(joined)) - np.repeat(starts, spans)
    powers = np.cumprod(np.full(int(spans.max()), _BASE, dtype=np.uint64))
    terms = (joined[starts[0] :].astype(np.uint64) + np.uint64(1)) * powers[place] * inside[starts[0] :]
    return Ragged(_mix(np.add.reduceat(terms, starts - starts[0])), offsets)


def ngrams(words: Ragged, n: int) -> Ragged:
    """The hashes of every n words in a row; a document with fewer has none."""
    counts = np.maximum(words.lengths - (n - 1), 0)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    size = len(words.hashes) - (n - 1)
    if size <= 0:
        return Ragged(np.zeros(0, dtype=np.uint64), offsets)
    grams = np.zeros(size, dtype=np.uint64)
    for place in range(n):
        grams = grams * _BASE + words.hashes[place : place + size]
    ends = np.repeat(words.offsets[1:], words.lengths)[:size]
    whole = np.arange(size) + n <= ends
    return Ragged(_mix(grams[whole]), offsets)


def _mix(values: _Hashes) -> _Hashes:
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    mixed = values + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
