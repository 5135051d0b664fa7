"""A dataset version on disk: tokens in one flat file, read through a memory map, window by window.

    tokens.bin           uint16 (uint32 for a vocabulary above 65,536), little endian
    mask.bin             uint8, only for conversations: above 0 = this token counts in the loss when it is the target
    reference-*.bin      only where another model's opinion counts too: see `references`
    documents.jsonl.zst  where each document begins and how many tokens it has
    unigram.json         how often each token occurs
    manifest.json        its `meta` is `ShardMeta`

Window i holds the tokens i*C … i*C + C: C inputs and, one place on, C targets.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from ropewalk.corpus.document import DOCUMENTS, read_records
from ropewalk.corpus.references import IDS, ReferenceRows, References
from ropewalk.storage.manifest import read_manifest

TOKENS = "tokens.bin"
MASK = "mask.bin"
UNIGRAM = "unigram.json"


@dataclass(frozen=True, kw_only=True)
class ShardMeta:
    """What a reader must know of a dataset version before it reads a token."""

    dataset_version: str
    tokenizer_uri: str
    context_length: int
    num_tokens: int
    num_windows: int
    dtype: str
    has_mask: bool
    eos_id: int

    def as_json(self) -> dict[str, JsonValue]:
        """The manifest's `meta`."""
        return asdict(self)

    @classmethod
    def of_json(cls, meta: Mapping[str, JsonValue]) -> Self:
        """The same from a sealed manifest, which may hold more. Raises KeyError if a field is missing."""
        return cls(**{field.name: meta[field.name] for field in fields(cls)})  # type: ignore[arg-type]  # sealed by us


@dataclass(frozen=True)
class Window:
    """One training example. All three are (C,): int64, int64, and bool: which targets count in the loss."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PackedDocument:
    """Where a document lies in tokens.bin. `length` includes its end token, not its padding."""

    doc_id: str
    path: str
    source_id: str
    licence: str
    start: int
    length: int
    source: str = ""  # `synthetic`: a model wrote the answer

    def as_record(self) -> dict[str, Any]:
        """One line of documents.jsonl.zst."""
        return {name: value for name, value in asdict(self).items() if name != "source" or value}


class TokenShard:
    """Read access to the folder of a dataset version. Opening costs nothing; windows come from the page cache."""

    def __init__(self, folder: Path) -> None:
        """Raises ManifestError if the folder is not complete."""
        meta = read_manifest(folder).meta
        self.folder = folder
        self.meta = ShardMeta.of_json(meta)
        self.tokens: NDArray[Any] = np.memmap(folder / TOKENS, dtype=self.meta.dtype, mode="r")
        self._mask = np.memmap(folder / MASK, dtype=np.uint8, mode="r") if self.meta.has_mask else None

    @property
    def num_windows(self) -> int:
        """How many windows there are."""
        return self.meta.num_windows

    def window(self, index: int) -> Window:
        """The window at `index`. Raises IndexError outside 0 … num_windows - 1."""
        if not 0 <= index < self.num_windows:
            raise IndexError(f"window {index} of a dataset with {self.num_windows} windows")
        length = self.meta.context_length
        start = index * length
        tokens = self.tokens[start : start + length + 1].astype(np.int64)
        if self._mask is None:
            mask = np.ones(length, dtype=np.bool_)
        else:
            mask = self._mask[start + 1 : start + length + 1].astype(np.bool_)
        return Window(inputs=tokens[:-1], targets=tokens[1:], mask=mask)

    def positions(self, index: int) -> NDArray[np.int64]:
        """How far each token of a window, (C,), lies behind the first one of its document in the window."""
        first, length = index * self.meta.context_length, self.meta.context_length
        tokens = np.arange(first, first + length)
        begins = self._starts[np.searchsorted(self._starts, tokens, side="right") - 1]
        return tokens - np.maximum(begins, first)

    @property
    def has_references(self) -> bool:
        """Whether another model was asked about the answers."""
        return (self.folder / IDS).is_file()

    def references(self, index: int) -> ReferenceRows:
        """What it said of a window's targets. Raises OSError where none was asked."""
        return self._references.window(index)

    @cached_property
    def _references(self) -> References:
        assert self._mask is not None, "only conversations have answers"
        return References(self.folder, self._mask, self.meta.context_length)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.fromiter((document.start for document in self.documents()), dtype=np.int64)

    def documents(self) -> Iterator[PackedDocument]:
        """The documents in the order of their tokens."""
        return (PackedDocument(**record) for record in read_records(self.folder / DOCUMENTS))

    def unigram(self) -> NDArray[np.int64]:
        """How often each token id occurs in tokens.bin: (vocabulary size,)."""
        return np.array(json.loads((self.folder / UNIGRAM).read_text())["counts"], dtype=np.int64)


class TokenWriter:
    """Appends token arrays to the flat files of a folder. Use as a context manager."""

    def __init__(self, folder: Path, *, dtype: str, has_mask: bool) -> None:
        self.num_tokens = 0
        self._dtype = dtype
        self._tokens = (folder / TOKENS).open("wb")
        self._mask = (folder / MASK).open("wb") if has_mask else None

    def append(self, tokens: NDArray[Any], mask: NDArray[Any] | None = None) -> int:
        """Add tokens (and their mask, where the shard has one). Returns the place of the first."""
        start = self.num_tokens
        self._tokens.write(tokens.astype(self._dtype, copy=False).tobytes())
        if self._mask is not None:
            assert mask is not None, "this shard has a mask"
            assert len(mask) == len(tokens)
            self._mask.write(mask.astype(np.uint8, copy=False).tobytes())
        self.num_tokens += len(tokens)
        return start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tokens.close()
        if self._mask is not None:
            self._mask.close()


def token_dtype(vocab_size: int) -> str:
    """The smallest little-endian type that holds every token id."""
    return "<u2" if vocab_size <= 65_536 else "<u4"
