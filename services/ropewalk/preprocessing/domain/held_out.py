"""Which documents are kept from training, to judge the model by.

What decides is the content (or the key that a source names), never the place: renamed, reordered or among more
documents, the same document is drawn alike. What an earlier run of the same model held out stays held out, whatever
is drawn, and so does what nearly repeats it.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE, LEAST_SHARE, num_to_watch
from ropewalk.corpus.sketch import NUM_HASHES, Sketches

_KEY = b"ropewalk held-out split 2"
_LARGE_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Registry:
    """What earlier runs of the model held out: content hashes and split keys, and a sketch of each document."""

    names: frozenset[str] = frozenset()
    sketches: Sketches = field(default_factory=lambda: np.zeros((0, NUM_HASHES), dtype=np.uint8))

    @property
    def num_documents(self) -> int:
        """How many there are."""
        return len(self.sketches)


def choose_held_out(keys: Sequence[str], fraction: float, registered: frozenset[str] = frozenset()) -> set[str]:
    """The keys whose documents are held out; `keys` has that of every document, `registered` those that must be.

    A key is chosen when its keyed hash lies below `fraction`, so the choice is stable while a corpus grows. If that
    gives fewer than 20, the next hashes follow, up to a fifth of the keys; at least one. A key with more than a fifth
    of the documents is chosen only where there is no other.
    """
    sizes = Counter(keys)
    chosen = set(registered & sizes.keys())
    small = [key for key, size in sizes.items() if size == 1 or size <= _LARGE_SHARE * len(keys)]
    free = sorted(set(small or sizes) - chosen, key=_draw)
    below = sum(_draw(key) < fraction for key in free)
    wanted = max(1, min(DOCUMENTS_TO_JUDGE, int(LEAST_SHARE * len(sizes)))) - len(chosen)
    return chosen | set(free[: max(below, wanted, 0)])


def choose_dev(keys: Sequence[str], taken: Set[str]) -> set[str]:
    """The keys whose documents show how a training gets on, apart from those that judge the model (`taken`).

    They are the next in the order of the draw. A key with more documents than all of them should have is no such key.
    """
    sizes = Counter(keys)
    count = num_to_watch(len(sizes))
    free = sorted((key for key, size in sizes.items() if key not in taken and size <= count), key=_draw)
    return set(free[:count])


def choose_learnt(keys: Sequence[str], fraction: float, seed: int) -> set[str]:
    """The keys whose documents are learnt from: at least so large a fraction of them; `keys` has that of every one.

    They are the first of one order that the seed draws, so what a smaller fraction gives is within what a larger does.
    """
    sizes, found, num_documents = Counter(keys), set[str](), 0
    for key in sorted(sizes, key=lambda key: (_draw(key, seed.to_bytes(8, "big", signed=True)), key)):
        if num_documents >= fraction * len(keys):
            break
        found.add(key)
        num_documents += sizes[key]
    return found


def _draw(key: str, salt: bytes = b"") -> float:
    drawn = hashlib.blake2b(key.encode(), key=_KEY, salt=salt, digest_size=8).digest()
    return int.from_bytes(drawn, "big") / 2**64
