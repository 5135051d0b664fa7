"""Where a segment ends, and what its identity is."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import orjson

from ropewalk.corpus.document import Document


def batches(documents: Iterator[Document], segment_bytes: int) -> Iterator[list[Document]]:
    """Cut the stream of documents after about `segment_bytes` raw bytes."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += document.num_bytes
        if size >= segment_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def segment_identity(documents: list[Document]) -> str:
    """Of the documents in order, leaving out when they were fetched."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(orjson.dumps(replace(document, fetched_at="").as_record()) + b"\n")
    return digest.hexdigest()
