"""The three passes over a segment, as plain functions that Ray runs anywhere the object store can be reached.

A pass reads sealed folders and publishes a sealed folder whose key is the hash of all that went in, so a pass that
was done before (an earlier attempt, an earlier run over the same segment) is not done again.
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus.document import DOCUMENTS, Document, read_documents, write_documents, write_records
from ropewalk.corpus.packing import cut_sentence
from ropewalk.preprocessing.adapters.culprits import naming_the_culprit
from ropewalk.preprocessing.adapters.encoding import RESULT, EncodeOrder, write_encoded
from ropewalk.preprocessing.adapters.sketching import content_of, plain_text, sketch
from ropewalk.preprocessing.domain.contamination import Pairs
from ropewalk.preprocessing.domain.held_items import find_items
from ropewalk.preprocessing.domain.normalise import Profile, normalise
from ropewalk.preprocessing.domain.quality import score
from ropewalk.stages.errors import StageError
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.objects import ObjectStore

_MOST = 0.99
CLEANING = 2  # part of every key below: raise it when a rule of cleaning changes
SCORES = "scores.jsonl.zst"
SIGNATURES = "signatures.npy"
CONTENT = "content.json"
PASSAGES = "passages.npy"


@dataclass(frozen=True, kw_only=True)
class EncodedSegment:
    """The tokens of a segment. `refused` are documents (places in the segment) that do not fit, with the reason."""

    uri: str
    num_documents: int
    refused: tuple[tuple[int, str], ...]
    refusal: str = ""  # what the chat template said to the first that it refused
    num_cut: int = 0  # conversations beyond the window
    lengths: Counter[int] = field(default_factory=Counter)  # of all conversations, rounded up


def left_out(parts: Iterable[EncodedSegment]) -> str:
    """How many documents were not encoded, by reason, and what the template said; nothing if all were."""
    parts = list(parts)
    counts = Counter(reason for part in parts for _, reason in part.refused)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    refusal = next((part.refusal for part in parts if part.refusal), "")
    return f"{reasons} ({refusal})" if refusal else reasons


def clean_segment(store: StoreAddress, uri: str, profile: Profile) -> str:
    """Normalise, score and sketch every document. Returns the key of the result."""
    objects = store.connect()

    def write(folder: Path) -> dict[str, Any]:
        documents = list(read_documents(objects.fetch(uri) / DOCUMENTS))
        cleaned = naming_the_culprit(partial(_normalised, profile), documents)
        write_documents(folder / DOCUMENTS, cleaned)
        naming_the_culprit(partial(_write_features, folder), cleaned)
        (folder / CONTENT).write_text(json.dumps([content_of(document) for document in cleaned]))
        return {"segment": uri, "profile": profile}

    return made_once(objects, f"cleaned/{hash_of(CLEANING, uri, profile)}", write)


def match_items(store: StoreAddress, uri: str, wanted_uri: str, halves: tuple[int, ...]) -> Pairs:
    """Which documents of a cleaned segment hold which passages, of so many halves of a word, of held-out items."""
    objects = store.connect()
    wanted = np.load(objects.fetch(wanted_uri) / PASSAGES)
    texts = (plain_text(document) for document in read_documents(objects.fetch(uri) / DOCUMENTS))
    return find_items(texts, wanted, halves)


def encode_segment(store: StoreAddress, order: EncodeOrder) -> EncodedSegment:
    """Encode and pack the documents to keep."""
    objects = store.connect()

    def write(folder: Path) -> dict[str, Any]:
        return write_encoded(folder, order, objects.fetch(order.cleaned_uri), objects.fetch(order.tokenizer.uri))

    inputs = (
        order.cleaned_uri,
        order.keep,
        order.tokenizer.uri,
        order.context_length,
        order.has_mask,
        order.shares_windows,
    )
    key = made_once(objects, f"{order.prefix}/{hash_of(*inputs)}", write)
    result = json.loads((objects.fetch(key) / RESULT).read_text())
    refused = tuple((place, reason) for place, reason in result["refused"])
    lengths = Counter({int(length): count for length, count in result.get("lengths", {}).items()})
    return EncodedSegment(
        uri=key,
        num_documents=result["num_documents"],
        refused=refused,
        refusal=result.get("refusal", ""),
        num_cut=result.get("num_cut", 0),
        lengths=lengths,
    )


def told_lengths(parts: Sequence[EncodedSegment]) -> dict[str, int]:
    """How many conversations are longer than a window, and how many tokens hold 99 % of them whole; 0: none."""
    return {"num_cut": sum(part.num_cut for part in parts), "window_for_most": _window_for_most(parts)}


def check_examples_fit(parts: Sequence[EncodedSegment], context_length: int) -> None:
    """Raises StageError if the windows cut most examples of a task."""
    told, num = told_lengths(parts), sum(sum(part.lengths.values()) for part in parts)
    if 2 * told["num_cut"] > num:
        raise StageError(cut_sentence(told["num_cut"], num, context_length, told["window_for_most"]))


def _window_for_most(parts: Sequence[EncodedSegment]) -> int:
    lengths = sorted(sum((part.lengths for part in parts), Counter[int]()).items())
    total = seen = sum(count for _, count in lengths)
    for length, count in reversed(lengths):
        seen -= count
        if seen < _MOST * total:
            return length
    return 0


def made_once(objects: ObjectStore, key: str, write: Callable[[Path], dict[str, Any]]) -> str:
    """Seal what `write` puts into a folder, with the facts it returns, unless it is there already."""
    if not objects.exists(key):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "made")
            folder.mkdir()
            objects.publish(folder, key, write(folder))
    return key


def _normalised(profile: Profile, documents: list[Document]) -> list[Document]:
    """Without the time of fetching, which must not reach a dataset version."""
    return [
        replace(
            document,
            text=normalise(document.text, profile),
            messages=tuple(replace(turn, content=normalise(turn.content, profile)) for turn in document.messages),
            rejected=normalise(document.rejected, profile),
            fetched_at="",
        )
        for document in documents
    ]


def _write_features(folder: Path, documents: list[Document]) -> None:
    """One row per document: scores, and MinHash signature (uint32, all zero without a shingle)."""
    texts = [plain_text(document) for document in documents]
    num_words, signatures = sketch(texts)
    records = (score(text, int(num)) for text, num in zip(texts, num_words, strict=True))
    np.save(folder / SIGNATURES, signatures)
    write_records(folder / SCORES, records)


def hash_of(*parts: object) -> str:
    """The identity of what a task is given."""
    return hashlib.sha256(json.dumps(parts, default=list).encode()).hexdigest()
