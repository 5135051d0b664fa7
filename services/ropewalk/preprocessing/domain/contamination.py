"""Which training documents give held-out ones away.

A training document is dropped when more than two distinct passages of 13 words occur in held-out documents (length as
in GPT-3, arXiv 2005.14165, appendix C; see `held_items` for scripts without words). Passages found in more than 10
documents and more than 1 % are common, such as licence headers, and do not count by themselves. But repetition alone
saves no leak: a document is dropped, too, when it holds

- three tenths of an item in common passages that do not frame it, or
- eight tenths of an item, framed or not.

A passage frames documents when what is shared begins (ends) near the beginning (end) of the document, and the passage
stands about as many words from there as in the item, as licence headers and page frames do and quotes do not. A frame
of more than a quarter of all documents, and whatever more than three quarters hold, is a template of the corpus and
nobody's secret.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ropewalk.preprocessing.domain.words import Ragged

_ALLOWED_HITS = 2
_COMMON_DOCUMENTS = 10
_COMMON_SHARE = 0.01
_FRAME_SHARE = 0.25
_TEMPLATE_SHARE = 0.75
_FRAME_SLACK_WORDS = 30  # a line or two of names and years, or a docstring, may stand before a header
_PART = 0.3
_WHOLE = 0.8
_EDGE_WORDS = 2  # in a script without spaces the first and the last word of a quote may melt into what is around it

# (k, 4): place of a document, place of a passage, its first start in the document, passages that start after that;
# each document and passage once
Pairs = NDArray[np.int64]


def no_pairs() -> Pairs:
    """Of no document."""
    return np.zeros((0, 4), dtype=np.int64)


def find_pairs(documents: Ragged, passages: NDArray[np.uint64]) -> Pairs:
    """Which documents hold which of the sorted passages, and where."""
    if not len(passages) or not len(documents.hashes):
        return no_pairs()
    places = np.minimum(np.searchsorted(passages, documents.hashes), len(passages) - 1)
    hits = np.flatnonzero(passages[places] == documents.hashes)
    owners = np.repeat(np.arange(len(documents.offsets) - 1), documents.lengths)[hits]
    # A document and a passage as one number, so that their first meeting is found without a loop.
    _, firsts = np.unique(owners * len(passages) + places[hits], return_index=True)
    hits, owners = hits[firsts], owners[firsts]
    starts = hits - documents.offsets[owners]
    return np.stack([owners, places[hits], starts, documents.lengths[owners] - 1 - starts], axis=1)


def in_corpus(pairs: Pairs, first: int) -> Pairs:
    """The same with places that count from the first document of the corpus."""
    return pairs + np.array([first, 0, 0, 0])


def contaminated(
    training: Pairs, held_out: Pairs, num_documents: int, phrases: Sequence[frozenset[int]] = ()
) -> set[int]:
    """Training documents to drop. `num_documents` counts both sides.

    `phrases` are sets of held-out items that say little each: the short turns of a conversation. When they are common,
    only a document with all of a set, and of two at least, gives it away.
    """
    spread = np.bincount(np.concatenate([training[:, 1], held_out[:, 1]]))  # in how many documents each passage is
    common, frame, template = (
        spread > max(_COMMON_DOCUMENTS, share * num_documents)
        for share in (_COMMON_SHARE, _FRAME_SHARE, _TEMPLATE_SHARE)
    )
    telling = training[~common[training[:, 1]], 0]
    documents, hits = np.unique(telling, return_counts=True)
    found = {int(place) for place in documents[hits > _ALLOWED_HITS]}
    possible = training[~template[training[:, 1]]]
    by_passage = possible[np.argsort(possible[:, 1], kind="stable")]  # for the searches in `_holders`
    said = {item: set[int]() for turns in phrases for item in turns}
    for item in np.split(held_out, np.flatnonzero(np.diff(held_out[:, 0])) + 1) if len(held_out) else ():
        holders = _holders(item, by_passage, common, frame)
        number = int(item[0, 0])
        if number in said:
            said[number].update(holders)
        if number not in said or not common[item[:, 1]].any():
            found.update(holders)
    return found.union(*(set.intersection(*(said[item] for item in turns)) for turns in phrases if len(turns) > 1))


def _holders(item: Pairs, by_passage: Pairs, common: NDArray[np.bool_], frame: NDArray[np.bool_]) -> list[int]:
    """The training documents that hold a large part of an item.

    Rare passages were counted already, so only items with enough common ones can have more holders: the join is small.
    """
    whole = max(1, math.ceil(_WHOLE * len(item)) - _EDGE_WORDS)
    part = min(whole, max(_ALLOWED_HITS + 1, math.ceil(_PART * len(item))))
    passages = item[:, 1]
    if int(common[passages].sum()) + _ALLOWED_HITS < part:
        return []
    first = np.searchsorted(by_passage[:, 1], passages, "left")
    last = np.searchsorted(by_passage[:, 1], passages, "right")
    rows = np.concatenate([by_passage[begin:end] for begin, end in zip(first, last, strict=True)])
    framed = common[rows[:, 1]] & _framed(rows, np.repeat(item[:, 2:], last - first, axis=0))
    quoted = np.bincount(rows[~framed, 0], minlength=1)
    held = np.bincount(rows[~(framed & frame[rows[:, 1]]), 0], minlength=len(quoted))
    quoted = np.pad(quoted, (0, len(held) - len(quoted)))  # both (documents,), up to the last that holds any
    leaks: list[int] = np.flatnonzero((quoted >= part) | (held >= whole)).tolist()
    return leaks


def _framed(rows: Pairs, in_item: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether passages stand at the head or foot alike. `in_item` (k, 2): where they stand in the item."""
    framed = np.zeros(len(rows), dtype=np.bool_)
    for side in (0, 1):
        distance = rows[:, 2 + side]
        nearest = np.full(int(rows[:, 0].max(initial=0)) + 1, _FRAME_SLACK_WORDS + 1)
        np.minimum.at(nearest, rows[:, 0], distance)
        alike = np.abs(distance - in_item[:, side]) <= _FRAME_SLACK_WORDS
        framed |= alike & (nearest[rows[:, 0]] <= _FRAME_SLACK_WORDS)
    return framed
