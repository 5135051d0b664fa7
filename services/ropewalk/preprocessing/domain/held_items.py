"""What is looked for of a held-out document: its passages of 13 words, and short texts as a whole.

Passages are measured by what they say, not by their number of words: an ideograph or kana counts half a word, so 26 of
them are a passage and a long proper name is none. A text or a turn that is too short for a passage is looked for as a
whole, from 5 words (10 ideographs) on; what is shorter says too little to be recognised.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.preprocessing.domain.contamination import Pairs, find_pairs, in_corpus, no_pairs
from ropewalk.preprocessing.domain.words import Ragged, Words, batches, hash_words, passages

PASSAGE_HALVES = 26  # halves of a word
_SHORTEST_HALVES = 10
_SHORT_TURN_HALVES = 32  # of longer turns a quote holds enough passages to be found among those of its conversation


@dataclass(frozen=True)
class HeldItems:
    """Passages of every item, and how long they are.

    `phrases` has the places of the items that are short turns: a set for a conversation of short turns, and a set for
    each where there are longer ones, too.
    """

    num_documents: int
    passages: Ragged
    halves: tuple[int, ...]
    phrases: tuple[frozenset[int], ...]


def held_items(documents: Iterable[tuple[str, Sequence[str]]]) -> HeldItems:
    """The items of held-out documents, each given as its whole text and the turns that it consists of, if any."""
    found: list[NDArray[np.uint64]] = []
    halves: set[int] = set()
    phrases: list[frozenset[int]] = []
    num_documents = 0
    for whole, turns in documents:
        num_documents += 1
        spoken = _long_enough(dict.fromkeys(turns))
        short = [words for words in spoken if _worth(words) < _SHORT_TURN_HALVES]
        items = _long_enough([whole])
        places = range(len(found) + len(items), len(found) + len(items) + len(short))
        phrases.extend([frozenset(places)] if len(short) == len(spoken) else [frozenset({at}) for at in places])
        for words in (*items, *short):
            length = min(_worth(words), PASSAGE_HALVES)
            halves.add(length)
            found.append(passages(words, length).hashes)
    hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *found])
    offsets = np.cumsum([0, *map(len, found)])
    return HeldItems(num_documents, Ragged(hashes, offsets), tuple(sorted(halves)), tuple(phrases))


def _long_enough(texts: Iterable[str]) -> list[Words]:
    return [words for words in (hash_words([text]) for text in texts) if _worth(words) >= _SHORTEST_HALVES]


def _worth(words: Words) -> int:
    return int(words.halves.sum())


def find_items(texts: Iterable[str], wanted: NDArray[np.uint64], halves: Iterable[int]) -> Pairs:
    """Which texts hold which of the sorted passages of the given lengths; in bounded memory beside the result."""
    lengths = tuple(halves)
    found, first = [no_pairs()], 0
    for group in batches(texts):
        words = hash_words(group)
        found += [in_corpus(find_pairs(passages(words, length), wanted), first) for length in lengths]
        first += len(group)
    return np.concatenate(found)
