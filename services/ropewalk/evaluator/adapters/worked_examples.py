"""Examples that a run learnt from, to be shown to an opponent."""

from collections.abc import Iterator, Sequence
from heapq import nsmallest
from pathlib import Path

from ropewalk.corpus.document import DOCUMENTS, Document, read_documents, read_records
from ropewalk.corpus.instruction import Turns
from ropewalk.corpus.trained import KEPT, STATES
from ropewalk.evaluator.domain.excerpts import place


def worked_examples(
    dataset: Path, segments: Sequence[Path], sources: frozenset[str], count: int, seed: int
) -> list[Turns]:
    """Up to `count` of the conversations of the given sources (none: of all) that were kept, in hash order.

    None that a model wrote: whoever is compared is shown what people wrote.
    """
    kept = {record["doc_id"] for record in read_records(dataset / STATES) if record["state"] == KEPT}
    found = (each for each in _conversations(segments, kept) if not sources or each.source_id in sources)
    first = nsmallest(count, found, key=lambda document: place(f"shot/{document.doc_id}", seed))
    return [document.messages for document in first]


def _conversations(segments: Sequence[Path], kept: set[str]) -> Iterator[Document]:
    """Each of the kept ones that end with an answer, once."""
    for segment in segments:
        for document in read_documents(segment / DOCUMENTS):
            if document.source or document.doc_id not in kept:
                continue
            if document.messages and document.messages[-1].role == "assistant":
                kept.discard(document.doc_id)
                yield document
