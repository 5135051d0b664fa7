"""Which training documents give held-out ones away.

A training document is dropped when more than two distinct 13-grams of its words occur in held-out documents
(n-gram length as in GPT-3, arXiv 2005.14165, appendix C). 13-grams found in many documents (more than 10 and more
than 1 %) are boilerplate such as licence headers, give nothing away, and do not count.
"""

import numpy as np
from numpy.typing import NDArray

from ropewalk.preprocessing.domain.words import Ragged

GRAM_WORDS = 13
_ALLOWED_HITS = 2
_BOILERPLATE_DOCUMENTS = 10
_BOILERPLATE_SHARE = 0.01

Pairs = NDArray[np.int64]  # (k, 2): place of a document, place of a gram; each pair once


def distinct(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The grams to look for, sorted."""
    return np.unique(grams)


def find_pairs(documents: Ragged, grams: NDArray[np.uint64]) -> Pairs:
    """Which documents hold which of the sorted grams."""
    if not len(grams) or not len(documents.hashes):
        return np.zeros((0, 2), dtype=np.int64)
    places = np.minimum(np.searchsorted(grams, documents.hashes), len(grams) - 1)
    hits = grams[places] == documents.hashes
    owners = np.repeat(np.arange(len(documents.offsets) - 1), documents.lengths)
    return np.unique(np.stack([owners[hits], places[hits]], axis=1), axis=0)


def contaminated(training: Pairs, held_out: Pairs, num_documents: int) -> set[int]:
    """Training documents to drop. `num_documents` counts both sides."""
    spread = np.bincount(np.concatenate([training[:, 1], held_out[:, 1]]))
    boilerplate = spread > max(_BOILERPLATE_DOCUMENTS, _BOILERPLATE_SHARE * num_documents)
    telling = training[~boilerplate[training[:, 1]], 0]
    documents, hits = np.unique(telling, return_counts=True)
    return {int(place) for place in documents[hits > _ALLOWED_HITS]}
