"""Words and n-grams of many documents as flat arrays of 64-bit hashes.

A word is a run of letters, digits, marks and underscores of the folded text (see `scripts`), so curly quotes, no-break
spaces, invisible characters and capitals make no difference. An ideograph is a word of its own. In scripts without
spaces a word ends between two letters whose hash says so, after four letters on average: the same passage gives the
same words wherever it stands, without a dictionary. Vectorised, because word splitting in Python is the bottleneck of
the usual tools (0.3 MB/s per core there, about 30 here for ASCII).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.preprocessing.domain.scripts import MARK, SEPARATOR, SINGLE, UNSPACED, code_points, fold, kinds

_Hashes = NDArray[np.uint64]
_BATCH_CHARS = 1_000_000  # about 60 bytes of arrays per character of text
_BASE = np.uint64(0x100000001B3)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_LETTERS_PER_WORD = np.uint64(4)  # in scripts without spaces


@dataclass(frozen=True)
class Ragged:
    """Hashes of several documents: those of document d are `hashes[offsets[d]:offsets[d + 1]]`."""

    hashes: _Hashes
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many hashes each document has."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Words(Ragged):
    """The words of several documents, and what each is worth in halves of a word: an ideograph or kana says half."""

    halves: NDArray[np.int64]


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Group texts so that the arrays of a group stay small."""
    group: list[str] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text)
        if size >= _BATCH_CHARS:
            yield group
            group, size = [], 0
    if group:
        yield group


def hash_words(texts: list[str]) -> Words:
    """The word hashes of texts: polynomials over the characters of each word, modulo 2**64."""
    folded = [fold(text) for text in texts]
    codes = code_points(" ".join([*folded, ""]))
    ends = np.cumsum([len(text) + 1 for text in folded])
    begins, inside = _boundaries(codes)
    starts = np.flatnonzero(begins)
    offsets = np.concatenate(([0], np.searchsorted(starts, ends))).astype(np.int64)
    if not len(starts):
        return Words(np.zeros(0, dtype=np.uint64), offsets, np.zeros(0, dtype=np.int64))
    spans = np.diff(np.append(starts, len(codes)))
    place: NDArray[np.int64] = np.arange(starts[0], len(codes)) - np.repeat(starts, spans)
    powers = np.cumprod(np.full(int(spans.max()), _BASE, dtype=np.uint64))
    terms = (codes[starts[0] :].astype(np.uint64) + np.uint64(1)) * powers[place] * inside[starts[0] :]
    halves = np.where(kinds()[codes[starts]] == SINGLE, 1, 2).astype(np.int64)
    return Words(_mix(np.add.reduceat(terms, starts - starts[0])), offsets, halves)


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


def passages(words: Words, halves: int) -> Ragged:
    """From every word on, the hash of the shortest run of words worth so many halves; where too few follow, none."""
    worth = np.concatenate(([0], np.cumsum(words.halves)))
    ends = np.searchsorted(worth, worth[:-1] + halves)
    fits = ends <= np.repeat(words.offsets[1:], words.lengths)
    sums, powers = _running_sums(words.hashes)
    starts = np.flatnonzero(fits)
    hashes = (sums[ends[starts]] - sums[starts]) * powers[starts]
    return Ragged(_mix(hashes), np.searchsorted(starts, words.offsets))


def _boundaries(codes: NDArray[np.uint8] | NDArray[np.uint32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where a word begins, and what is inside of one."""
    kind = kinds()[codes]
    inside = kind != SEPARATOR
    begins = inside & ~np.concatenate(([False], inside[:-1]))
    if codes.dtype != np.uint8:  # in ASCII only spaces and signs divide
        begins |= inside & (kind != MARK) & _divides(codes, kind)
    return begins, inside


def _divides(codes: NDArray[np.uint8] | NDArray[np.uint32], kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a character does not belong to the word of the last one that is no mark."""
    if kind[0] == MARK:
        kind = np.concatenate(([SEPARATOR], kind[1:])).astype(np.uint8)
    bases = np.maximum.accumulate(np.where(kind != MARK, np.arange(len(kind)), 0))  # the last that is no mark
    before = np.concatenate(([0], bases[:-1]))
    other_script = kind != kind[before]
    pairs = _mix(codes[before].astype(np.uint64) * _BASE + codes.astype(np.uint64))
    return other_script | (kind == SINGLE) | ((kind == UNSPACED) & (pairs % _LETTERS_PER_WORD == 0))


def _running_sums(hashes: _Hashes) -> tuple[_Hashes, _Hashes]:
    """Sums of hashes times falling powers of a base, and rising powers that make a difference of two placeless."""
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    falling = _powers(inverse, len(hashes))
    return np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(hashes * falling))), _powers(_BASE, len(hashes))


def _powers(base: np.uint64, number: int) -> _Hashes:
    """1, base, base**2, … modulo 2**64."""
    powers: _Hashes = np.full(number, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _mix(values: _Hashes) -> _Hashes:
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    mixed = values + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
