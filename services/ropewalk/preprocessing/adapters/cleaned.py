"""Read access to the cleaned segments of a corpus, with the state of every document."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ropewalk.corpus.document import DOCUMENTS, Document, read_documents, read_records
from ropewalk.preprocessing.adapters.tasks import CONTENT, SCORES, SIGNATURES
from ropewalk.preprocessing.domain.states import Entry
from ropewalk.storage.objects import ObjectStore


@dataclass
class CleanedCorpus:
    """Cleaned segments by key, in segment order. `states` has one text per entry, once they are decided."""

    objects: ObjectStore
    uris: list[str]
    entries: list[Entry] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def load_entries(self) -> NDArray[np.uint32]:
        """Fill `entries` from what the cleaning pass stored; returns the signatures, (n, 112)."""
        signatures = []
        for segment, uri in enumerate(self.uris):
            folder = self.objects.fetch(uri)
            signatures.append(np.load(folder / SIGNATURES))
            content = json.loads((folder / CONTENT).read_text())
            rows = zip(read_documents(folder / DOCUMENTS), read_records(folder / SCORES), content, strict=True)
            self.entries += [
                Entry(
                    segment=segment,
                    place=place,
                    doc_id=document.doc_id,
                    path=document.path,
                    num_bytes=document.num_bytes,
                    content=name,
                    is_conversation=bool(document.messages),
                    scores=scores,
                )
                for place, (document, scores, name) in enumerate(rows)
            ]
        return np.concatenate(signatures)

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
