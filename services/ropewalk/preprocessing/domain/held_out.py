"""Which documents are kept from training, to judge the model by."""

import hashlib
from collections.abc import Sequence

_KEY = b"ropewalk held-out split 1"
_WANTED = 20  # fewer files give no useful interval


def choose_held_out(paths: Sequence[str], fraction: float) -> set[int]:
    """Places of the documents to hold out.

    A document is chosen when the keyed hash of its path lies below `fraction`, so the choice is stable while a
    corpus grows. If that gives fewer than 20, the next hashes follow, up to a fifth of the corpus; at least one.
    """
    draws = sorted((_draw(path), place) for place, path in enumerate(paths))
    below = sum(draw < fraction for draw, _ in draws)
    wanted = max(1, below, min(_WANTED, len(draws) // 5))
    return {place for _, place in draws[:wanted]}


def _draw(path: str) -> float:
    return int.from_bytes(hashlib.blake2b(path.encode(), key=_KEY, digest_size=8).digest(), "big") / 2**64
