"""The records of one file, each with its place."""

from collections.abc import Iterator

from ropewalk.corpus.reading.kinds import JSON, kind_by_name
from ropewalk.corpus.reading.readers import ReaderTask, reader_of
from ropewalk.corpus.reading.records import Content, Flaw, Limits, Record, content_of, cut_text
from ropewalk.corpus.reading.selection import unpacked_name
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.recipes.formats import CONVERSATIONS, JSON_LINES, TEXT, format_of
from ropewalk.recipes.recipe import SourceRecipe

Placed = Iterator[tuple[str, Content | Flaw]]


def contents(file: SourceFile, source: SourceRecipe, limits: Limits, meter: Meter | None = None) -> Placed:
    """The documents of a file with their paths, and a flaw for everything that is none."""
    name = unpacked_name(file.path)
    is_claimed = format_of(name, "auto") != TEXT
    kind = None if is_claimed or source.format == TEXT or file.closed else kind_by_name(name)
    if kind is not None and not (kind is JSON and source.format in (JSON_LINES, *CONVERSATIONS)):
        yield file.path, kind.flaw(file.num_bytes)
        return
    try:
        read = reader_of(format_of(name, source.format))
    except ModuleNotFoundError as error:
        remedy = "`pip install 'ropewalk[ingest]'`"
        yield file.path, Flaw("unreadable", f"reading it needs {error.name}: {remedy}", file.num_bytes)
        return
    for part, found in read(file, ReaderTask(source, limits, meter or Meter())):
        place = f"{file.path}#{part}" if part else file.path
        if isinstance(found, Record):
            content = content_of(found, source)
            yield from _within(place, content, limits.record_bytes)
        else:
            yield place, found


def _within(place: str, content: Content | Flaw, max_bytes: int) -> Placed:
    """A text larger than a document may be, in parts; a conversation cannot be cut."""
    if isinstance(content, Flaw) or content.num_bytes <= max_bytes:
        yield place, content
    elif content.messages:
        size = content.num_bytes
        yield place, Flaw("oversized", f"a conversation of {size:,} bytes; the limit is {max_bytes:,}", size)
    else:
        yield from ((f"{place}.{number}", part) for number, part in enumerate(cut_text(content, max_bytes), 1))
