"""Which documents nearly repeat others, from a sketch of each.

A sketch is 112 MinHash values of a document's word 5-grams in 14 bands of 8 (FineWeb, arXiv 2406.17557): a pair shares
a band with probability 1 - (1 - s^8)^14 at Jaccard similarity s: 0.77 at 0.75, 0.99 at 0.85. The share of places in
which two sketches agree estimates s. What is kept for later is the lowest byte of every value: 112 bytes per document.
"""

import numpy as np
from numpy.typing import NDArray

NUM_BANDS = 14
BAND_ROWS = 8
NUM_HASHES = NUM_BANDS * BAND_ROWS
MIN_AGREEMENT = 0.75

Sketches = NDArray[np.uint8]  # (n, 112); all zero for a document without a 5-gram


def lowest_bytes(signatures: NDArray[np.uint32]) -> Sketches:
    """Sketches from full signatures, (n, 112)."""
    return np.ascontiguousarray(signatures.astype(np.uint8))


def near_any(sketches: Sketches, known: Sketches) -> NDArray[np.bool_]:
    """True for every sketch that shares a band with a known one and agrees with it in 75 % of the places: (n,)."""
    found = sketches.any(axis=1)
    near = np.zeros(len(sketches), dtype=np.bool_)
    known = np.ascontiguousarray(known[known.any(axis=1)])
    rows, others = (np.ascontiguousarray(each).view(np.uint64) for each in (sketches, known))  # (n, 14), (m, 14)
    # Sorted by one band, the documents that share it with a row stand together: two searches find them all.
    for band in range(NUM_BANDS if len(known) else 0):
        order = np.argsort(others[:, band], kind="stable")
        column = others[order, band]
        first = np.searchsorted(column, rows[:, band], "left")
        last = np.searchsorted(column, rows[:, band], "right")
        for at in np.flatnonzero(found & ~near & (first < last)):
            rivals = known[order[first[at] : last[at]]]
            near[at] = bool(((rivals == sketches[at]).mean(axis=1) >= MIN_AGREEMENT).any())
    return near
