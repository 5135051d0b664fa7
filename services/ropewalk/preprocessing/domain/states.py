"""The final state of every document: kept, held out (DEV: to watch a training by), or dropped for one named reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropewalk.corpus.sketch import lowest_bytes, near_any
from ropewalk.corpus.trained import KEPT
from ropewalk.preprocessing.domain.dedup import exact_repeats, near_repeats
from ropewalk.preprocessing.domain.held_out import Registry, choose_dev, choose_held_out, choose_learnt
from ropewalk.preprocessing.domain.normalise import Profile
from ropewalk.preprocessing.domain.quality import fault

HELD_OUT = "held_out"
DEV = "dev"
_BEYOND = "beyond_learnt_fraction"


@dataclass(frozen=True, kw_only=True)
class DocumentFacts:
    """What is known of a document before any decision. `place` is its place in its segment.

    `content` is the hash of its folded content; documents with the same `split_key` belong together. `origin` is that
    of the document that a model made it from.
    """

    segment: int
    place: int
    doc_id: str
    path: str
    num_bytes: int
    content: str
    is_conversation: bool
    scores: dict[str, float]
    split_key: str = ""
    is_unanswered: bool = False
    is_synthetic: bool = False
    origin: str = ""

    @property
    def key(self) -> str:
        """What decides on which side of the split the document is."""
        return self.split_key or self.content


def first_states(
    entries: Sequence[DocumentFacts],
    signatures: NDArray[np.uint32],
    profile: Profile,
    held_out_fraction: float,
    registry: Registry,
) -> list[str]:
    """Everything but decontamination. Earlier in (segment, doc_id) order wins; `signatures` is (n, 112)."""
    # Conversations are judged by their form alone, which ingest did.
    states = [_fault(entry, profile) or KEPT for entry in entries]
    order = sorted(range(len(entries)), key=lambda at: _rank(entries[at]))
    left = [at for at in order if states[at] == KEPT]
    _drop(states, left, exact_repeats([entries[at].content for at in left]), "exact_duplicate")
    # What is dropped in one pass must not drop others in the next, so each pass sees only what is left.
    left = [at for at in order if states[at] == KEPT]
    sketches = signatures[left]
    _drop(states, left, near_repeats(sketches, sketches.any(axis=1)), "near_duplicate")
    left = [at for at in order if states[at] == KEPT]
    # What a model wrote judges none, and is not learnt where its input judges, or what it was made from.
    keys = [entries[at].key for at in left if not entries[at].is_synthetic]
    registered = _registered([entries[at] for at in left], signatures[left], registry)
    # A single key would be held out whole and leave nothing to learn from.
    if len(set(keys)) > 1 or registered:
        chosen = choose_held_out(keys, held_out_fraction, registered) | registered
        watched = choose_dev(keys, chosen)
        apart = chosen | watched
        for at in left:
            if entries[at].key in apart or entries[at].origin in apart:
                judges = HELD_OUT if entries[at].key in chosen else DEV
                states[at] = "contaminated" if entries[at].is_synthetic else judges
    return states


def thinned(states: Sequence[str], entries: Sequence[DocumentFacts], fraction: float, seed: int) -> list[str]:
    """The states where only a fraction of what is kept is learnt from, by whole keys, as the split goes."""
    kept = [entry.key for entry, state in zip(entries, states, strict=True) if state == KEPT]
    learnt = choose_learnt(kept, fraction, seed)
    return [
        _BEYOND if state == KEPT and entry.key not in learnt else state
        for entry, state in zip(entries, states, strict=True)
    ]


def _fault(entry: DocumentFacts, profile: Profile) -> str | None:
    if entry.is_conversation:
        return "no_valid_answer" if entry.is_unanswered else None
    return fault(entry.scores, profile)


def _rank(entry: DocumentFacts) -> tuple[bool, int, str, int]:
    return entry.is_synthetic, entry.segment, entry.doc_id, entry.place


def _registered(entries: Sequence[DocumentFacts], signatures: NDArray[np.uint32], registry: Registry) -> frozenset[str]:
    """The keys of documents that an earlier run held out, or that nearly repeat such a one."""
    near = near_any(lowest_bytes(signatures), registry.sketches)
    return frozenset(
        entry.key
        for entry, repeats in zip(entries, near, strict=True)
        if repeats or not registry.names.isdisjoint((entry.content, entry.split_key))
    )


def count_states(states: Sequence[str]) -> tuple[int, int, dict[str, int]]:
    """How many documents are kept, held out (`dev` among them), and dropped by reason; together they are all."""
    counts = Counter(states)
    kept, held_out = counts.pop(KEPT, 0), counts.pop(HELD_OUT, 0) + counts.pop(DEV, 0)
    assert kept + held_out + counts.total() == len(states)
    return kept, held_out, dict(sorted(counts.items()))


def _drop(states: list[str], places: list[int], repeats: NDArray[np.bool_], reason: str) -> None:
    for at, repeated in zip(places, repeats, strict=True):
        if repeated:
            states[at] = reason
