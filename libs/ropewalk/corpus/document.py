"""Documents and the compressed JSON-lines files that hold them.

The bytes of a file depend on its records only: same records, same order, same file.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import zstandard

DOCUMENTS = "documents.jsonl.zst"
EVAL_ITEMS = "items.jsonl.zst"
DEV_ITEMS = "dev.jsonl.zst"  # beside them, to watch a training by; the gate never sees these
SYNTHETIC = "synthetic"  # `source` of what a model wrote
_LEVEL = 3  # zstandard: 135 MB/s; higher levels gain little on text this size


@dataclass(frozen=True, kw_only=True)
class ChatMessage:
    """One turn of a conversation. An answer with `weight` 0 is read and not learnt."""

    role: str
    content: str
    name: str = ""
    weight: int = 1

    def as_record(self) -> dict[str, Any]:
        """The JSON of the turn, in the form chat templates and the OpenAI API expect."""
        name = {"name": self.name} if self.name else {}
        weight = {} if self.weight else {"weight": 0}
        return {"role": self.role, "content": self.content} | name | weight


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text or one conversation. Identity is content: `doc_id` is the SHA-256 of the raw bytes.

    `path` is relative to its source; a record of a JSONL file adds `#<line>`. `num_bytes` is the raw size.
    Documents with the same `split_key` are held out together or not at all: parts of one text, or records that agree
    in the source's `key_field`. Empty: the content decides. `rejected`: an answer that is worse than the last turn.
    `source`: who wrote the answer, `synthetic` for a model; it stays with the document. `origin`: the `split_key` of
    the example that it was made from, if it was.
    """

    doc_id: str
    source_id: str
    path: str
    licence: str
    fetched_at: str
    num_bytes: int
    text: str = ""
    messages: tuple[ChatMessage, ...] = ()
    split_key: str = ""
    rejected: str = ""
    source: str = ""
    origin: str = ""

    @property
    def is_unanswered(self) -> bool:
        """Whether it is a conversation in which nothing is answered."""
        return bool(self.messages) and all(turn.role != "assistant" for turn in self.messages)

    def as_record(self) -> dict[str, Any]:
        """The JSON of the document: `text`, or `messages` for a conversation; others where they are not empty."""
        body: dict[str, Any] = {"messages": message_records(self.messages)} if self.messages else {"text": self.text}
        body |= {"split_key": self.split_key} if self.split_key else {}
        body |= {"rejected": self.rejected} if self.rejected else {}
        body |= {"source": self.source} if self.source else {}
        body |= {"origin": self.origin} if self.origin else {}
        return {
            "doc_id": self.doc_id,
            "source_id": self.source_id,
            "path": self.path,
            **body,
            "licence": self.licence,
            "fetched_at": self.fetched_at,
            "num_bytes": self.num_bytes,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Document":
        """The inverse of `as_record`."""
        fields = {**record, "messages": tuple(ChatMessage(**turn) for turn in record.get("messages", ()))}
        return cls(**fields)


def content_id(raw: bytes) -> str:
    """The identity of raw content."""
    return hashlib.sha256(raw).hexdigest()


def message_records(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """Turns as JSON, in the form chat templates and the OpenAI API expect."""
    return [turn.as_record() for turn in messages]


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write one JSON per line, zstandard-compressed. Returns the number of records."""
    count = 0
    with path.open("wb") as file, zstandard.ZstdCompressor(level=_LEVEL).stream_writer(file) as compressed:
        for record in records:
            compressed.write(orjson.dumps(record) + b"\n")
            count += 1
    return count


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Every record of a file written by `write_records`."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as plain:
        for line in io.BufferedReader(plain):
            yield orjson.loads(line)


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Write documents in the given order. Returns their number."""
    return write_records(path, (document.as_record() for document in documents))


def read_documents(path: Path) -> Iterator[Document]:
    """Every document of a file, in order."""
    return (Document.from_record(record) for record in read_records(path))
