"""From raw bytes to a document, or to the reason why not."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from ropewalk.corpus.document import ChatMessage, content_id, message_records
from ropewalk.corpus.reading.conversations import read_turns

Reason = Literal[
    "binary",
    "not_utf8",
    "oversized",
    "empty",
    "malformed_json",
    "missing_field",
    "bad_messages",
    "corrupt_archive",
    "decompression_bomb",
    "unreadable",
]
PART_BYTES = 8_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in raw (decompressed) bytes."""

    record_bytes: int = 8_000_000
    segment_bytes: int = 4_000_000


@dataclass(frozen=True)
class Content:
    """What a sound record holds; one of `text` and `messages` is empty."""

    doc_id: str
    num_bytes: int
    text: str = ""
    messages: tuple[ChatMessage, ...] = ()
    split_key: str = ""


@dataclass(frozen=True)
class Flaw:
    """Why a record is no document. `detail` is for the person who mends it."""

    reason: Reason
    detail: str
    num_bytes: int = 0


def parse_text(raw: bytes) -> Content | Flaw:
    """A whole file as one text. A byte order mark is left out of the text but is part of the identity."""
    if b"\0" in raw:
        return Flaw("binary", f"a NUL byte at offset {raw.index(0)}", len(raw))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Flaw("not_utf8", f"{error.reason} at offset {error.start}", len(raw))
    if not text.strip():
        return Flaw("empty", "nothing but white space", len(raw))
    return Content(content_id(raw), len(raw), text=text)


def split_text(content: Content, part_bytes: int = PART_BYTES) -> list[Content]:
    """Cut a text into parts of about `part_bytes`, after a blank line where there is one, else after a line.

    A source that is one long file must become several documents: some to learn from, some to be judged by.
    """
    parts: list[str] = []
    lines: list[str] = []
    size = 0
    for line in content.text.splitlines(keepends=True):
        lines.append(line)
        size += len(line.encode())
        if size >= 2 * part_bytes or (size >= part_bytes and not line.strip()):
            parts.append("".join(lines))
            lines, size = [], 0
    if any(line.strip() for line in lines) or not parts:
        parts.append("".join(lines))
    else:
        parts[-1] += "".join(lines)
    raws = [part.encode() for part in parts]
    return [Content(content_id(raw), len(raw), text=part) for part, raw in zip(parts, raws, strict=True)]


def parse_line(raw: bytes, *, text_field: str, chat: bool | None, key_field: str = "") -> Content | Flaw:
    """One line of a JSONL file. `chat` None: a record with `messages` is a conversation, another one a text.

    With a `key_field` its value says which records belong together.
    """
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Flaw("malformed_json", str(error), len(raw))
    if not isinstance(record, dict):
        return Flaw("malformed_json", f"the line is not a JSON object but {type(record).__name__}", len(raw))
    if key_field and not isinstance(record.get(key_field), str | int | float):
        known = ", ".join(sorted(record)[:8])
        return Flaw("missing_field", f"no value in the key_field {key_field!r}; the record has: {known}", len(raw))
    content = _parse_record(record, text_field, chat, len(raw))
    if isinstance(content, Flaw) or not key_field:
        return content
    return replace(content, split_key=content_id(orjson.dumps([key_field, record[key_field]])))


def _parse_record(record: dict[str, Any], text_field: str, chat: bool | None, num_bytes: int) -> Content | Flaw:
    if chat or (chat is None and "messages" in record):
        return _parse_conversation(record, num_bytes)
    text = record.get(text_field)
    if not isinstance(text, str):
        known = ", ".join(sorted(record)[:8])
        return Flaw("missing_field", f"no text in the field {text_field!r}; the record has: {known}", num_bytes)
    return parse_text(text.encode())


def _parse_conversation(record: dict[str, Any], num_bytes: int) -> Content | Flaw:
    turns = record.get("messages")
    if not isinstance(turns, list):
        return Flaw("missing_field", "no list in the field 'messages'", num_bytes)
    messages = read_turns(record)
    if isinstance(messages, str):
        return Flaw("bad_messages", messages, num_bytes)
    canonical = json.dumps(message_records(messages), sort_keys=True, ensure_ascii=False).encode()
    return Content(content_id(canonical), len(canonical), messages=messages)
