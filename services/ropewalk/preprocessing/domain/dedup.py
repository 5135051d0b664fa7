"""Which documents repeat an earlier one, exactly or nearly.

A document is dropped as a near-duplicate if and only if it shares a band with an earlier *kept* one and their full
signatures (see `corpus.sketch`) agree in at least 75 % of the places; so a chain of small changes is not dropped as a
whole, and the result depends on the order alone.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ropewalk.corpus.sketch import BAND_ROWS, MIN_AGREEMENT, NUM_BANDS

SHINGLE_WORDS = 5


def exact_repeats(content: Sequence[str]) -> NDArray[np.bool_]:
    """True for every document whose content hash occurred before: (n,)."""
    seen: set[str] = set()
    repeats = np.zeros(len(content), dtype=np.bool_)
    for place, name in enumerate(content):
        repeats[place] = name in seen
        seen.add(name)
    return repeats


def near_repeats(signatures: NDArray[np.uint32], candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True for every candidate that nearly repeats an earlier kept candidate.

    `signatures` is (n, 112) in the order of precedence; documents that are not candidates (already dropped, or too
    short for a shingle) neither drop others nor are dropped.
    """
    bands = _shared_bands(signatures, candidates)
    kept_in_band: dict[tuple[int, int], list[int]] = defaultdict(list)
    repeats = np.zeros(len(signatures), dtype=np.bool_)
    for place in sorted(bands):
        keys = bands[place]  # (band, group): only who shares one of them is compared, not everybody with everybody
        rivals = sorted({rival for key in keys for rival in kept_in_band[key]})
        if rivals:
            agreement = (signatures[rivals] == signatures[place]).mean(axis=1)
            repeats[place] = bool((agreement >= MIN_AGREEMENT).any())
        if not repeats[place]:
            for key in keys:
                kept_in_band[key].append(place)
    return repeats


def _shared_bands(signatures: NDArray[np.uint32], candidates: NDArray[np.bool_]) -> dict[int, list[tuple[int, int]]]:
    """For each candidate that shares a band with another: the (band, group) keys it is in."""
    places = np.flatnonzero(candidates)
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for band in range(NUM_BANDS if len(places) else 0):
        rows = np.ascontiguousarray(signatures[places, band * BAND_ROWS : (band + 1) * BAND_ROWS])
        joined = rows.view(np.dtype((np.void, rows.itemsize * BAND_ROWS))).ravel()  # (n,): a band as one value
        _, group, sizes = np.unique(joined, return_inverse=True, return_counts=True)
        for member in np.flatnonzero(sizes[group] > 1):
            found[int(places[member])].append((band, int(group[member])))
    return found
