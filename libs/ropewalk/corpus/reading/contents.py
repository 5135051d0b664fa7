"""The records of one file, each with its place."""

from collections.abc import Iterator
from itertools import count

from ropewalk.corpus.reading.files import SourceFile
from ropewalk.corpus.reading.kinds import JSON, kind_by_magic, kind_by_name
from ropewalk.corpus.reading.lines import read_lines
from ropewalk.corpus.reading.places import ANYWHERE, Reach
from ropewalk.corpus.reading.records import Content, Flaw, Limits, cut_text, parse_line, split_text
from ropewalk.corpus.reading.selection import holds_records, unpacked_name
from ropewalk.corpus.reading.texts import read_text
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.recipes.recipe import SourceRecipe

Placed = Iterator[tuple[str, Content | Flaw]]
_LINE_FACTOR = 4  # a record of JSON lines may be this much larger than one document, into which its text is cut


def contents(
    file: SourceFile, source: SourceRecipe, limits: Limits, reach: Reach = ANYWHERE, meter: Meter | None = None
) -> Placed:
    """The records of a file with their paths. Blank lines between records are not records.

    A source that is a single text file is cut into parts.
    """
    meter = meter or Meter()
    kind = None if source.format == "text" else kind_by_name(unpacked_name(file.path))
    if kind is not None and not (kind is JSON and source.format in ("jsonl", "chat")) and file.closed is None:
        yield file.path, Flaw(kind.reason, kind.sentence, _size(file))
    elif holds_records(file.path, source):
        yield from _records(file, source, limits, reach, meter)
    else:
        yield from _texts(file, source, limits, reach, meter)


def _texts(file: SourceFile, source: SourceRecipe, limits: Limits, reach: Reach, meter: Meter) -> Placed:
    parts = count(1)
    found = read_text(file, limits.record_bytes, reach, meter, is_taken_as_text=source.format == "text")
    for place, content in found:
        if file.is_alone and isinstance(content, Content):
            yield from ((f"{file.path}#{next(parts)}", part) for part in split_text(content))
        else:
            yield (f"{file.path}#{place}" if place else file.path), content


def _records(file: SourceFile, source: SourceRecipe, limits: Limits, reach: Reach, meter: Meter) -> Placed:
    chat = {"chat": True, "jsonl": False}.get(source.format)
    num_records = 0
    for number, line in read_lines(file, limits.record_bytes * _LINE_FACTOR, reach, meter):
        if not line:
            continue
        num_records += 1
        place = f"{file.path}#{number}"
        if isinstance(line, Flaw):
            yield (file.path if file.closed else place), line
        elif num_records == 1 and (line == b"{" or line.startswith(b"[")):
            yield file.path, Flaw(JSON.reason, JSON.sentence, _size(file))
            return
        elif num_records == 1 and (kind := kind_by_magic(line)):
            yield file.path, Flaw(kind.reason, kind.sentence, _size(file))
            return
        else:
            content = parse_line(line, text_field=source.text_field, chat=chat, key_field=source.key_field)
            yield from _within(place, content, limits.record_bytes)
    if not num_records:
        yield file.path, Flaw("empty", "no record in the file")


def _within(place: str, content: Content | Flaw, max_bytes: int) -> Placed:
    """A text larger than a document may be, in parts; a conversation cannot be cut."""
    if isinstance(content, Flaw) or content.num_bytes <= max_bytes:
        yield place, content
    elif content.messages:
        size = content.num_bytes
        yield place, Flaw("oversized", f"a conversation of {size:,} bytes; the limit is {max_bytes:,}", size)
    else:
        yield from ((f"{place}.{number}", part) for number, part in enumerate(cut_text(content, max_bytes), 1))


def _size(file: SourceFile) -> int:
    """Bytes on disk; 0 of what is gone."""
    try:
        return file.location.lstat().st_size
    except OSError:
        return 0
