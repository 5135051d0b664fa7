"""Read access to the cleaned segments of a corpus, with the state of every document."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ropewalk.corpus.document import DOCUMENTS, Document, read_documents, read_records
from ropewalk.corpus.sketch import NUM_HASHES, Sketches, lowest_bytes
from ropewalk.preprocessing.adapters.tasks import CONTENT, SCORES, SIGNATURES
from ropewalk.preprocessing.domain.states import DocumentFacts
from ropewalk.storage.objects import ObjectStore


@dataclass
class CleanedCorpus:
    """Cleaned segments by key, in segment order.

    `states` has one text per entry, once they are decided; `sketches` is what remains of the signatures, (n, 112).
    """

    objects: ObjectStore
    uris: list[str]
    entries: list[DocumentFacts] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    sketches: Sketches = field(default_factory=lambda: np.zeros((0, NUM_HASHES), dtype=np.uint8))

    def load_entries(self) -> NDArray[np.uint32]:
        """Fill `entries` and `sketches` from what the cleaning pass stored; returns the signatures, (n, 112)."""
        signatures = []
        for segment, uri in enumerate(self.uris):
            folder = self.objects.fetch(uri)
            signatures.append(np.load(folder / SIGNATURES))
            content = json.loads((folder / CONTENT).read_text())
            rows = zip(read_documents(folder / DOCUMENTS), read_records(folder / SCORES), content, strict=True)
            self.entries += [
                DocumentFacts(
                    segment=segment,
                    place=place,
                    doc_id=document.doc_id,
                    path=document.path,
                    num_bytes=document.num_bytes,
                    content=name,
                    is_conversation=bool(document.messages),
                    scores=scores,
                    split_key=document.split_key,
                    is_unanswered=document.is_unanswered,
                    is_synthetic=bool(document.source),
                    origin=document.origin,
                )
                for place, (document, scores, name) in enumerate(rows)
            ]
        whole = np.concatenate(signatures)
        self.sketches = lowest_bytes(whole)
        return whole

    def documents(self, state: str) -> Iterator[tuple[int, Document]]:
        """The documents in a state, each with the place of its entry, in segment order."""
        at = 0
        for uri in self.uris:
            for document in read_documents(self.objects.fetch(uri) / DOCUMENTS):
                if self.states[at] == state:
                    yield at, document
                at += 1

    def of_segment(self, segment: int) -> list[int]:
        """The places of a segment's entries."""
        return [at for at, entry in enumerate(self.entries) if entry.segment == segment]

    def in_state(self, state: str) -> list[int]:
        """The places of the entries in a state."""
        return [at for at, found in enumerate(self.states) if found == state]

    def state_records(self, segment_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The end of every document, for people and for later evaluations."""
        for entry, state in zip(self.entries, self.states, strict=True):
            yield {
                "segment_id": segment_ids[entry.segment],
                "doc_id": entry.doc_id,
                "path": entry.path,
                "content": entry.content,
                "state": state,
            }
