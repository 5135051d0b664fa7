"""Examples that a run learnt from, to be shown to an opponent."""

from collections.abc import Sequence
from pathlib import Path

from ropewalk.corpus.document import DOCUMENTS, read_documents, read_records
from ropewalk.corpus.instruction import Turns
from ropewalk.corpus.trained import KEPT, STATES
from ropewalk.evaluator.domain.excerpts import place


def worked_examples(dataset: Path, segments: Sequence[Path], count: int, seed: int) -> list[Turns]:
    """Up to `count` of the conversations that were kept for training, in hash order."""
    kept = {record["doc_id"] for record in read_records(dataset / STATES) if record["state"] == KEPT}
    chosen = set(sorted(kept, key=lambda doc_id: place(f"shot/{doc_id}", seed))[: 4 * count])  # some may be texts
    found = {
        document.doc_id: document.messages
        for segment in segments
        for document in read_documents(segment / DOCUMENTS)
        if document.doc_id in chosen and document.messages and document.messages[-1].role == "assistant"
    }
    order = sorted(found, key=lambda doc_id: place(f"shot/{doc_id}", seed))
    return [found[doc_id] for doc_id in order[:count]]
