"""What a dataset version says about the documents that a model learnt from.

    states.jsonl.zst  every document of the corpus: doc_id, path, content (the hash of its folded text), state
    sketches.2.npy    of the kept ones, for near-duplicates: (n, 112) uint8

The number in the file's name is that of the rules by which words are found and folded: sketches of other rules are not
compared. A dataset of before there were sketches is compared by doc_id alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ropewalk.corpus.document import read_records
from ropewalk.corpus.sketch import Sketches, near_any

STATES = "states.jsonl.zst"
SKETCHES = "sketches.2.npy"
KEPT = "kept"


@dataclass(frozen=True)
class Identity:
    """How a document is recognised. What is not known is empty."""

    doc_id: str
    content: str


def trained_on(dataset: Path, documents: Sequence[Identity], sketches: Sketches | None) -> list[bool]:
    """For each document whether it, or what nearly repeats it, is among those that the dataset's model learnt from.

    `sketches` are those of the documents, (n, 112). Raises FileNotFoundError for a folder that is no dataset version.
    """
    kept: set[str] = set()
    asked = {name for document in documents for name in (document.doc_id, document.content)}
    for record in read_records(dataset / STATES):
        if record["state"] == KEPT:
            kept |= {record["doc_id"], record.get("content", "")} & asked
    kept.discard("")
    near = np.zeros(len(documents), dtype=np.bool_)
    if sketches is not None and (dataset / SKETCHES).is_file():
        near = near_any(sketches, np.load(dataset / SKETCHES, mmap_mode="r"))
    return [
        bool(repeats) or not kept.isdisjoint((document.doc_id, document.content))
        for document, repeats in zip(documents, near, strict=True)
    ]
