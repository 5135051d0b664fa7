"""Which training documents give held-out ones away.

A training document is dropped when more than two distinct 13-grams of its words occur in held-out documents
(n-gram length as in GPT-3, arXiv 2005.14165, appendix C). 13-grams found in many documents (more than 10 and more
than 1 %) are boilerplate such as licence headers, give nothing away, and do not count.

That alone would take an item that is quoted ten times for boilerplate. So a document that holds an item as a whole
(nine tenths of its 13-grams) is dropped, too, however many others do; a licence header is only a part of the item.
What more than a quarter of all documents hold is a template of the corpus and nobody's secret.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ropewalk.preprocessing.domain.words import Ragged

GRAM_WORDS = 13
_ALLOWED_HITS = 2
_BOILERPLATE_DOCUMENTS = 10
_BOILERPLATE_SHARE = 0.01
_TEMPLATE_SHARE = 0.25
_WHOLE = 0.9
_EDGE_WORDS = 2  # in a script without spaces the first and the last word of a quote may melt into what is around it

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
    template = spread > max(_BOILERPLATE_DOCUMENTS, _TEMPLATE_SHARE * num_documents)
    telling = training[~boilerplate[training[:, 1]], 0]
    documents, hits = np.unique(telling, return_counts=True)
    found = {int(place) for place in documents[hits > _ALLOWED_HITS]}
    return found.union(*_whole_copies(training[~template[training[:, 1]]], held_out, boilerplate & ~template))


def _whole_copies(training: Pairs, held_out: Pairs, boilerplate: NDArray[np.bool_]) -> list[set[int]]:
    """For each held-out document the training documents that hold it as a whole.

    Only items that consist of boilerplate, up to the hits that are allowed anyway, can have copies that were not found
    yet: so the join is small even where a header is in every tenth document.
    """
    by_gram = training[np.argsort(training[:, 1], kind="stable")]
    items: list[NDArray[np.int64]] = np.split(held_out[:, 1], np.flatnonzero(np.diff(held_out[:, 0])) + 1)
    copies = []
    for grams in items:
        needed = max(1, math.ceil(_WHOLE * len(grams)) - _EDGE_WORDS)
        if not len(grams) or int(boilerplate[grams].sum()) + _ALLOWED_HITS < needed:
            continue
        first = np.searchsorted(by_gram[:, 1], grams, "left")
        last = np.searchsorted(by_gram[:, 1], grams, "right")
        holders = np.concatenate([by_gram[first[at] : last[at], 0] for at in range(len(grams))])
        documents, hits = np.unique(holders, return_counts=True)
        copies.append({int(place) for place in documents[hits >= needed]})
    return copies
