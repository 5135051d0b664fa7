"""Which part of the held-out set is scored.

Documents come in the order of a keyed hash, so the choice depends on nothing but the documents. A long text gives
one excerpt of whole lines and a long conversation its beginning, so that no document weighs more than a twentieth of
the budget, and no cluster more than a tenth.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import accumulate

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.domain.clusters import MIN_CLUSTERS
from ropewalk.evaluator.domain.tasks import Item

MAX_BYTES = 150_000
MIN_FILES = 20
EXCERPT_BYTES = MAX_BYTES // MIN_FILES
CLUSTER_BYTES = MAX_BYTES // MIN_CLUSTERS


def choose(items: Iterable[Item], seed: int, times: int = 1) -> tuple[Item, ...]:
    """Excerpts of about `times` MAX_BYTES in all, in hash order; documents with nothing to score are left out.

    What is chosen stays chosen when `times` grows.
    """
    cuts = (
        beginning(item) if item.turns else replace(item, text=excerpt(item.text, item.item_id, seed))
        for item in _in_order(items, seed)
    )
    return _within_budget((cut for cut in cuts if cut.num_bytes), lambda cut: cut.num_bytes, times)


def choose_pairs(items: Iterable[Item], seed: int, times: int = 1) -> tuple[Item, ...]:
    """Those with a rejected answer, whole, as many as are read in about `times` MAX_BYTES."""
    pairs = (item for item in _in_order(items, seed) if item.rejected)
    return _within_budget(pairs, _bytes_of_pair, times)


def _bytes_of_pair(item: Item) -> int:
    return sum(len(turn.content.encode()) for turns in item.pair for turn in turns)


def _in_order(items: Iterable[Item], seed: int) -> list[Item]:
    return sorted(items, key=lambda item: place(item.item_id, seed))


def _within_budget(cuts: Iterable[Item], size: Callable[[Item], int], times: int) -> tuple[Item, ...]:
    chosen: list[Item] = []
    spare: list[Item] = []
    spent: Counter[str] = Counter()  # bytes by cluster
    for cut in cuts:
        if spent[cut.cluster] + size(cut) > times * CLUSTER_BYTES:
            spare.append(cut)
            continue
        chosen.append(cut)
        spent[cut.cluster] += size(cut)
        # A few long files would fill the budget and leave too few for an interval.
        if spent.total() >= times * MAX_BYTES and len(chosen) >= MIN_FILES and len(spent) >= MIN_CLUSTERS:
            break
    # Few documents are all needed; what a cluster weighs is bounded again when the numbers are made.
    return (*chosen, *spare[: max(0, MIN_FILES - len(chosen))])


def beginning(item: Item) -> Item:
    """A conversation up to EXCERPT_BYTES of answers; the last of them is cut."""
    turns: list[ChatMessage] = []
    room = EXCERPT_BYTES
    for turn in item.turns:
        if turn.role == "assistant":
            said = turn.content.encode()
            turns.append(turn if len(said) <= room else replace(turn, content=said[:room].decode(errors="ignore")))
            room -= len(said)
        else:
            turns.append(turn)
        if room <= 0:
            break
    return replace(item, turns=tuple(turns), rejected="")


def place(name: str, seed: int) -> int:
    """A number in 0 … 2^64 - 1 that depends on the name and the seed only."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")


def excerpt(text: str, name: str, seed: int) -> str:
    """At most EXCERPT_BYTES of whole lines from a hashed place; a line that is longer alone is cut."""
    if len(text.encode()) <= EXCERPT_BYTES:
        return text
    lines = text.splitlines(keepends=True)
    ends = [0, *accumulate(len(line.encode()) for line in lines)]
    # A start beyond the last one would leave the excerpt shorter than it may be.
    last_start = min(len(lines) - 1, bisect_left(ends, ends[-1] - EXCERPT_BYTES))
    start = place(f"excerpt/{name}", seed) % (last_start + 1)
    end = bisect_right(ends, ends[start] + EXCERPT_BYTES) - 1
    return "".join(lines[start:end]) or lines[start].encode()[:EXCERPT_BYTES].decode(errors="ignore")
