"""From raw bytes to a document, or to the reason why not."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ropewalk.corpus.document import SYNTHETIC, ChatMessage, content_id, message_records
from ropewalk.corpus.reading.conversations import is_blank, read_turns
from ropewalk.corpus.reading.examples import INPUT, example_turns, input_turns
from ropewalk.corpus.reading.preferences import read_preference
from ropewalk.events.foreign import one_line, quoted
from ropewalk.recipes.formats import CHAT, EXAMPLES, INPUTS, JSON_LINES, PREFERENCES
from ropewalk.recipes.recipe import SourceRecipe

Reason = Literal[
    "binary",
    "not_utf8",
    "oversized",
    "empty",
    "malformed_json",
    "missing_field",
    "bad_messages",
    "corrupt_archive",
    "corrupt_table",
    "trailing_bytes",
    "decompression_bomb",
    "unreadable",
    "link_outside",
    "linked_folder",
    "no_file",
    "closed_place",
    "unsupported_archive",
    "unsupported_csv",
    "unsupported_document",
    "unsupported_html",
    "unsupported_json",
    "unsupported_mail",
    "unsupported_notebook",
    "unsupported_settings",
    "unsupported_subtitles",
    "unsupported_table",
    "unsupported_warc",
    "unsupported_xml",
]
PART_BYTES = 8_000
_TAIL_CHARS = 64
ORIGIN = "from"  # of the mark: which example a model was shown when it made another
MOST_VALUES = 1_000_000  # each takes some 200 bytes when it is read


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in raw (decompressed) bytes. A text larger than a record is cut, anything else that is, set aside."""

    record_bytes: int = 8_000_000
    segment_bytes: int = 4_000_000


@dataclass(frozen=True)
class Content:
    """What a sound record holds; one of `text` and `messages` is empty. The last three: see `Document`."""

    doc_id: str
    num_bytes: int
    text: str = ""
    messages: tuple[ChatMessage, ...] = ()
    split_key: str = ""
    rejected: str = ""
    source: str = ""
    origin: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether it is a conversation that ends with an answer."""
        return bool(self.messages) and self.messages[-1].role == "assistant"


@dataclass(frozen=True)
class Record:
    """What a format with fields holds, before it is known which of them counts. `num_bytes` is its size there."""

    fields: dict[str, Any]
    num_bytes: int


@dataclass(frozen=True)
class Flaw:
    """Why a record is no document. `detail` is for the person who mends it."""

    reason: Reason
    detail: str
    num_bytes: int = 0


def parse_text(raw: bytes) -> Content | Flaw:
    """A whole file as one text. A byte order mark is left out of the text but is part of the identity."""
    if b"\0" in raw:
        return _binary(raw)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Flaw("not_utf8", f"{error.reason} at offset {error.start}", len(raw))
    if is_blank(text):
        return Flaw("empty", "nothing but white space", len(raw))
    return Content(content_id(raw), len(raw), text=text)


def _binary(raw: bytes) -> Flaw:
    """Every second byte of Latin text in UTF-16 is zero; without a mark at its beginning nothing is guessed."""
    low, high = raw[0::2].count(0), raw[1::2].count(0)
    if len(raw) >= 8 and max(low, high) > 0.3 * len(raw) and min(low, high) == 0:
        return Flaw("not_utf8", "it looks like UTF-16 without a byte order mark: save it as UTF-8", len(raw))
    return Flaw("binary", f"a NUL byte at offset {raw.index(0)}", len(raw))


def cut_point(raw: bytes | bytearray, max_bytes: int) -> int:
    """Where to cut a text that is longer than `max_bytes`: in its second half, behind a paragraph, line or word if
    there is one, and never within a character."""
    for end in (b"\n\n", b"\n", b" "):
        if (found := raw.rfind(end, max_bytes // 2, max_bytes)) >= 0:
            return found + len(end)
    cut = max_bytes
    while cut > max_bytes - 3 and raw[cut] & 0xC0 == 0x80:  # a byte that continues a character
        cut -= 1
    return max(1, cut)


def cut_text(content: Content, max_bytes: int) -> Iterator[Content]:
    """A text in parts of at most `max_bytes`, which are held out together or not at all."""
    key = content.split_key or content.doc_id
    raw = content.text.encode()
    while len(raw) > max_bytes:
        cut = cut_point(raw, max_bytes)
        yield _part(raw[:cut], key)
        raw = raw[cut:]
    yield _part(raw, key)


def _part(raw: bytes, split_key: str) -> Content:
    return Content(content_id(raw), len(raw), text=raw.decode(), split_key=split_key)


def split_text(content: Content, part_bytes: int = PART_BYTES) -> list[Content]:
    """Cut a text into parts of about `part_bytes`, after a blank line where there is one, else after a line.

    A source that is one long file must become several documents: some to learn from, some to be judged by. From seven
    eighths of the size on it is the text before it that says whether a line ends a part, so that text put in front
    moves the parts around it only.
    """
    parts: list[str] = []
    lines: list[str] = []
    size, tail, has_blank = 0, "", False
    for line in content.text.splitlines(keepends=True):
        lines.append(line)
        size += len(line.encode())
        is_blank = not line.strip()
        tail, has_blank = (tail + line.strip())[-_TAIL_CHARS:], has_blank or is_blank
        if is_blank:
            ends = size >= 3 * part_bytes // 2 or (size >= 7 * part_bytes // 8 and _draw(tail) % 2 == 0)
        else:
            ends = size >= 2 * part_bytes or (size >= part_bytes and not has_blank and _draw(tail) % 8 == 0)
        if ends:
            parts.append("".join(lines))
            lines, size, has_blank = [], 0, False
    if any(line.strip() for line in lines) or not parts:
        parts.append("".join(lines))
    else:
        parts[-1] += "".join(lines)
    raws = [part.encode() for part in parts]
    return [Content(content_id(raw), len(raw), text=part) for part, raw in zip(parts, raws, strict=True)]


def _draw(tail: str) -> int:
    return hashlib.blake2b(tail.encode(), digest_size=1).digest()[0]


def content_of(record: Record, source: SourceRecipe) -> Content | Flaw:
    """A record as a document. Where the format does not say it, one with `messages` is a conversation, another a text.

    With a `key_field` its value says which records belong together; examples with the same input always do.
    """
    fields, num_bytes, key_field = record.fields, record.num_bytes, source.key_field
    if key_field and not isinstance(fields.get(key_field), str | int | float):
        return _missing(f"no value in the key_field {quoted(key_field)}", fields, num_bytes)
    try:
        content = _parse_record(fields, source, num_bytes)
        if isinstance(content, Flaw) or not key_field:
            return content
        return replace(content, split_key=split_key(key_field, fields[key_field]))
    except UnicodeEncodeError as error:
        half = one_line(str(error.object)[error.start], 1)
        return Flaw("not_utf8", f"half of a surrogate pair ({half}) in the text, which is no character", num_bytes)


def split_key(field: str, value: object) -> str:
    """What records with the same value in a field have in common when documents are held out."""
    return content_id(json.dumps([field, value], ensure_ascii=False, separators=(",", ":")).encode())


def _missing(what: str, record: dict[str, Any], num_bytes: int) -> Flaw:
    known = ", ".join(one_line(name, 40) for name in sorted(record)[:8])
    return Flaw("missing_field", f"{what}; the record has: {known}", num_bytes)


def _parse_record(record: dict[str, Any], source: SourceRecipe, num_bytes: int) -> Content | Flaw:
    if source.format in (EXAMPLES, INPUTS):
        return _parse_example(record, source, num_bytes)
    if source.format == PREFERENCES:
        return _parse_preference(record, source.system, num_bytes)
    if source.format == CHAT or (source.format != JSON_LINES and "messages" in record):
        return _parse_conversation(record, num_bytes)
    text = record.get(source.text_field)
    if not isinstance(text, str):
        return _missing(f"no text in the field {quoted(source.text_field)}", record, num_bytes)
    return parse_text(text.encode())


def _parse_example(record: dict[str, Any], source: SourceRecipe, num_bytes: int) -> Content | Flaw:
    messages = (input_turns if source.format == INPUTS else example_turns)(record, source.system)
    if isinstance(messages, str):
        return Flaw("bad_messages", messages, num_bytes)
    content = replace(_conversation(messages), split_key=split_key(INPUT, str(record[INPUT])))
    if (mark := record.get(SYNTHETIC)) is None:
        return content
    origin = mark.get(ORIGIN) if isinstance(mark, dict) else None  # a mark that somebody spoilt is one still
    return replace(content, source=SYNTHETIC, origin=origin if isinstance(origin, str) and len(origin) == 64 else "")


def _parse_preference(record: dict[str, Any], system: str, num_bytes: int) -> Content | Flaw:
    found = read_preference(record, system)
    if isinstance(found, str):
        return Flaw("bad_messages", found, num_bytes)
    content, rejected = _conversation(found.turns), found.rejected.encode()
    asked = "\n".join(turn.content for turn in found.turns[:-1] if turn.role != "system")
    return replace(
        content,
        doc_id=content_id(content.doc_id.encode() + rejected),
        num_bytes=content.num_bytes + len(rejected),
        split_key=split_key(INPUT, asked),
        rejected=found.rejected,
    )


def _parse_conversation(record: dict[str, Any], num_bytes: int) -> Content | Flaw:
    turns = record.get("messages")
    if not isinstance(turns, list):
        return Flaw("missing_field", "no list in the field 'messages'", num_bytes)
    messages = read_turns(record)
    if isinstance(messages, str):
        return Flaw("bad_messages", messages, num_bytes)
    return _conversation(messages)


def _conversation(messages: tuple[ChatMessage, ...]) -> Content:
    canonical = json.dumps(message_records(messages), sort_keys=True, ensure_ascii=False).encode()
    return Content(content_id(canonical), len(canonical), messages=messages)
