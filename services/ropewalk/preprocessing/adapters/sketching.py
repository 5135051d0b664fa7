"""What a document is recognised by: the hash of its folded content, and its MinHash signature."""

from collections.abc import Iterable

import numpy as np
import orjson
import rensa
from numpy.typing import NDArray

from ropewalk.corpus.document import Document, content_id
from ropewalk.corpus.sketch import NUM_HASHES
from ropewalk.preprocessing.domain.dedup import SHINGLE_WORDS
from ropewalk.preprocessing.domain.scripts import fold_whole
from ropewalk.preprocessing.domain.words import Ragged, batches, hash_words, ngrams

_SEED = 1


def plain_text(document: Document) -> str:
    """What words are counted in: the text, or every turn but the system's, which many conversations share."""
    if not document.messages:
        return document.text
    return "\n".join(told_turns(document))


def told_turns(document: Document) -> list[str]:
    """Every turn but the system's, and a rejected answer; none of a text."""
    rejected = [document.rejected] if document.rejected else []
    return [turn.content for turn in document.messages if turn.role != "system"] + rejected


def content_of(document: Document) -> str:
    """The identity of the folded content: the same for texts that differ in quotes, capitals or white space only."""
    if not document.messages:
        return content_id(fold_whole(document.text).encode())
    turns = [[turn.role, fold_whole(turn.content)] for turn in document.messages]
    turns += [["rejected", fold_whole(document.rejected)]] if document.rejected else []
    return content_id(orjson.dumps(turns))


def sketch(texts: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Of every text the number of words, (n,), and the MinHash values of its word 5-grams, (n, 112), zero without.

    Every text is read once, in bounded memory beside the result.
    """
    counts, rows = [np.zeros(0, dtype=np.int64)], [np.zeros((0, NUM_HASHES), dtype=np.uint32)]
    for group in batches(texts):
        words = hash_words(group)
        counts.append(words.lengths)
        rows.append(_signatures(ngrams(words, SHINGLE_WORDS)))
    return np.concatenate(counts), np.concatenate(rows)


def _signatures(shingles: Ragged) -> NDArray[np.uint32]:
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        shingles.hashes, shingles.offsets.astype(np.uint64), NUM_HASHES, _SEED
    )
    rows = np.array(matrix.to_rows(), dtype=np.uint32)
    rows[shingles.lengths == 0] = 0
    return rows
