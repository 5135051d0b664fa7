"""Token n-gram models, the honest yardstick: they see the same training tokens as the model.

Interpolated Witten-Bell smoothing (Witten & Bell 1991): with c(h, w) occurrences of w after h and T(h) different
words after h,

    p(w | h) = (c(h, w) + T(h) p(w | h')) / (c(h) + T(h)),   h' = h without its oldest word,

down to a unigram with half a count added to every word. Nothing is tuned, and the probabilities sum to one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_ORDER = 3
ADDED_COUNT = 0.5
_Ids = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Table:
    """Counts of one order, all arrays sorted by key. A key is the word sequence read as a number in base V."""

    grams: _Ids
    counts: _Ids
    contexts: _Ids
    totals: _Ids
    distinct: _Ids


@dataclass(frozen=True)
class NgramModel:
    """Fitted by `fit`; holds every order up to MAX_ORDER."""

    vocab_size: int
    unigram: _Floats  # (V,)
    tables: tuple[_Table, ...]  # orders 2 and 3

    def probabilities(self, tokens: _Ids, order: int) -> _Floats:
        """The probability of every token after the first MAX_ORDER - 1 ones: (n,) in, (n - 2,) out."""
        words = tokens[MAX_ORDER - 1 :]  # (n - 2,): every order predicts the same words
        result = self.unigram[words]
        for length, table in zip(range(2, order + 1), self.tables, strict=False):
            context = _keys(tokens[MAX_ORDER - length : -1], length - 1, self.vocab_size)
            result = _interpolate(table, context, context * self.vocab_size + words, result)
        return result


def fit(tokens: _Ids, vocab_size: int) -> NgramModel:
    """Count every order. `tokens` is the training text end to end."""
    counts = np.bincount(tokens, minlength=vocab_size).astype(np.float64) + ADDED_COUNT
    tables = tuple(_count(tokens, order, vocab_size) for order in range(2, MAX_ORDER + 1))
    return NgramModel(vocab_size=vocab_size, unigram=counts / counts.sum(), tables=tables)


def collapse_padding(tokens: _Ids, eos_id: int) -> _Ids:
    """One end token where several follow each other: padding is no text."""
    # The first token always stays; of the others those go that repeat an end token.
    repeated = (tokens[1:] == eos_id) & (tokens[:-1] == eos_id)
    return tokens[np.concatenate([[True], ~repeated])] if len(tokens) else tokens


def _keys(tokens: _Ids, order: int, vocab_size: int) -> _Ids:
    """The key of every run of `order` tokens: (n,) in, (n - order + 1,) out."""
    count = max(0, len(tokens) - order + 1)
    keys = np.zeros(count, dtype=np.int64)
    for offset in range(order):
        keys = keys * vocab_size + tokens[offset : offset + count]
    return keys


def _count(tokens: _Ids, order: int, vocab_size: int) -> _Table:
    grams, counts = np.unique(_keys(tokens, order, vocab_size), return_counts=True)
    contexts, first, distinct = np.unique(grams // vocab_size, return_index=True, return_counts=True)
    totals = np.add.reduceat(counts, first) if len(first) else np.zeros(0, dtype=np.int64)
    return _Table(grams=grams, counts=counts, contexts=contexts, totals=totals, distinct=distinct)


def _interpolate(table: _Table, contexts: _Ids, grams: _Ids, lower: _Floats) -> _Floats:
    occurrences = _look_up(table.grams, table.counts, grams)
    total = _look_up(table.contexts, table.totals, contexts)
    distinct = _look_up(table.contexts, table.distinct, contexts)
    seen = total > 0
    # Where the context was never seen, the lower order decides alone; the inner `where` only avoids 0 / 0.
    return np.where(seen, (occurrences + distinct * lower) / np.where(seen, total + distinct, 1), lower)


def _look_up(keys: _Ids, values: _Ids, wanted: _Ids) -> _Ids:
    """The value of each wanted key, 0 where it does not occur."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)  # a key beyond the last points at the last
    return np.where(keys[places] == wanted, values[places], 0)
