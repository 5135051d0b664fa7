"""Joins the encoded segments into one sealed dataset version. Its name is the hash of its content."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus.document import DOCUMENTS, read_records, write_records
from ropewalk.corpus.packing import count_windows
from ropewalk.corpus.references import IDS, LOGPROBS
from ropewalk.corpus.shards import MASK, TOKENS, UNIGRAM, ShardMeta, TokenWriter, token_dtype
from ropewalk.corpus.sketch import Sketches
from ropewalk.corpus.trained import SKETCHES, STATES
from ropewalk.preprocessing.adapters.tokenizer import TokenizerFacts
from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import file_sha256
from ropewalk.storage.objects import ObjectStore

_COPY_TOKENS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """The parts of a dataset version in their order, and where to put them together."""

    folder: Path
    parts: list[Path]
    tokenizer: TokenizerFacts
    context_length: int
    has_mask: bool
    evalset_uri: str
    sketches: Sketches  # of the documents in the parts
    references: list[Path] = field(default_factory=list)  # what another model said of the parts' tokens, in order
    left_out: str = ""  # documents that could not be encoded, by reason


def publish_dataset(
    objects: ObjectStore, assembly: Assembly, states: Iterable[dict[str, Any]], *, min_windows: int
) -> tuple[ShardMeta, str]:
    """Join, name and seal. Returns the meta and the key. Raises StageError below `min_windows`, one batch."""
    folder = assembly.folder
    folder.mkdir()
    dtype = token_dtype(assembly.tokenizer.vocab_size)
    with TokenWriter(folder, dtype=dtype, has_mask=assembly.has_mask) as writer:
        write_records(folder / DOCUMENTS, _join(assembly, writer, dtype))
        if assembly.has_mask:  # the last padded window needs one target more
            writer.append(np.array([assembly.tokenizer.eos_id]), np.zeros(1))
    num_windows = count_windows(writer.num_tokens, assembly.context_length)
    if num_windows < min_windows:
        raise StageError(_too_small(assembly, writer.num_tokens, num_windows, min_windows))
    write_records(folder / STATES, states)
    np.save(folder / SKETCHES, assembly.sketches)
    _join_references(assembly)
    _write_unigram(folder, dtype, assembly.tokenizer.vocab_size)
    unnamed = ShardMeta(
        dataset_version="",
        tokenizer_uri=assembly.tokenizer.uri,
        context_length=assembly.context_length,
        num_tokens=writer.num_tokens,
        num_windows=num_windows,
        dtype=dtype,
        has_mask=assembly.has_mask,
        eos_id=assembly.tokenizer.eos_id,
    )
    meta = replace(unnamed, dataset_version=_version(folder, unnamed, assembly.evalset_uri))
    uri = f"datasets/{meta.dataset_version}"
    objects.publish(folder, uri, {**meta.as_json(), "evalset_uri": assembly.evalset_uri})
    return meta, uri


def _join(assembly: Assembly, writer: TokenWriter, dtype: str) -> Iterator[dict[str, Any]]:
    """Append every part's tokens; yield its documents with their places in the whole."""
    for part in assembly.parts:
        first = writer.num_tokens
        tokens = np.fromfile(part / TOKENS, dtype=dtype)
        mask = np.fromfile(part / MASK, dtype=np.uint8) if assembly.has_mask else None
        writer.append(tokens, mask)
        for record in read_records(part / DOCUMENTS):
            yield {**record, "start": record["start"] + first}


def _join_references(assembly: Assembly) -> None:
    for name in (IDS, LOGPROBS) if assembly.references else ():
        with (assembly.folder / name).open("wb") as whole:
            for part in assembly.references:
                with (part / name).open("rb") as rows:
                    shutil.copyfileobj(rows, whole)


def _write_unigram(folder: Path, dtype: str, vocab_size: int) -> None:
    counts = np.zeros(vocab_size, dtype=np.int64)
    tokens = np.memmap(folder / TOKENS, dtype=dtype, mode="r")
    for first in range(0, len(tokens), _COPY_TOKENS):
        counts += np.bincount(tokens[first : first + _COPY_TOKENS], minlength=vocab_size)
    (folder / UNIGRAM).write_text(json.dumps({"counts": counts.tolist()}))


def _version(folder: Path, meta: ShardMeta, evalset_uri: str) -> str:
    files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    content = {"files": files, "meta": asdict(meta), "evalset_uri": evalset_uri}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _too_small(assembly: Assembly, num_tokens: int, num_windows: int, batch_size: int) -> str:
    context_length = assembly.context_length
    if assembly.left_out and num_tokens <= 1:  # an end token at most
        return (
            f"nothing is left to learn from: what cleaning kept could not be encoded: {assembly.left_out}: mend the "
            "conversations or the base model's chat template, raise training.context_length, or choose another "
            "base_model"
        )
    left_out = f"; left out because they could not be encoded: {assembly.left_out}" if assembly.left_out else ""
    return (
        f"the corpus is smaller than one batch: {num_tokens:,} tokens after cleaning give {num_windows:,} windows of "
        f"{context_length}, but a batch takes {batch_size} ({batch_size * context_length + 1:,} tokens): add data, or "
        f"choose a smaller size{left_out}"
    )
