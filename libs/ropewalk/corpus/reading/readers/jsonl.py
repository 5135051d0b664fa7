"""JSON lines: a record per line. A line that is too long is passed over in chunks."""

import json
from collections.abc import Iterator

import orjson

from ropewalk.corpus.reading.content import FAULTS, chunks, fault
from ropewalk.corpus.reading.kinds import JSON, kind_by_magic
from ropewalk.corpus.reading.readers import ReaderTask
from ropewalk.corpus.reading.records import MOST_VALUES, Flaw, Record
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.events.foreign import one_line


def read(file: SourceFile, task: ReaderTask) -> Iterator[tuple[str, Record | Flaw]]:
    """See RecordReader. Blank lines between records are not records; the place is the number of the line."""
    num_records = 0
    for number, line in _lines(file, task.record_bytes, task.meter):
        if not line:
            continue
        num_records += 1
        if isinstance(line, Flaw):
            yield ("" if file.closed else str(number)), line
        elif num_records == 1 and (kind := JSON if line == b"{" or line.startswith(b"[") else kind_by_magic(line)):
            yield "", kind.flaw(file.num_bytes)
            return
        else:
            yield str(number), load(line)
    if not num_records:
        yield "", Flaw("empty", "no record in the file")


def load(raw: bytes) -> Record | Flaw:
    """The object of a line. `NaN`, `Infinity` and halves of surrogate pairs, which are no JSON but are written by many
    tools, are read: most stand in fields that nobody looks at."""
    if raw.count(b"[") + raw.count(b"{") > MOST_VALUES:
        return Flaw("oversized", f"more than {MOST_VALUES:,} lists and objects in one record", len(raw))
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            found = json.loads(raw.decode())
        except UnicodeDecodeError as wrong:
            return Flaw("not_utf8", f"{wrong.reason} at offset {wrong.start} of the line", len(raw))
        except RecursionError:
            return Flaw("malformed_json", "nested too deeply", len(raw))
        except ValueError:
            return Flaw("malformed_json", one_line(str(error)), len(raw))
    if not isinstance(found, dict):
        return Flaw("malformed_json", f"the line is not a JSON object but {type(found).__name__}", len(raw))
    return Record(found, len(raw))


def _lines(file: SourceFile, max_bytes: int, meter: Meter) -> Iterator[tuple[int, bytes | Flaw]]:
    """Line numbers (from 1) and lines without their end.

    Of an archive that is cut short, the whole lines before the cut are given, then the reason.
    """
    line = bytearray()
    number, length = 1, 0
    ending: Flaw | None = None
    try:
        for piece in _pieces(file, meter):
            length += len(piece)
            if length > max_bytes and b"\0" in piece:  # a disk image, or a file with a hole of terabytes
                ending = Flaw("binary", "a line beyond the limit with a NUL byte in it; the rest was not read", length)
                break
            if length <= max_bytes:
                line += piece
            if piece.endswith(b"\n"):
                yield number, _closed(line, length, max_bytes)
                line.clear()
                number, length = number + 1, 0
    except FAULTS as error:
        ending = fault(error)
    if length and (ending is None or ending.reason == "trailing_bytes"):
        yield number, _closed(line, length, max_bytes)
    if ending is not None:
        yield number, ending


def _pieces(file: SourceFile, meter: Meter) -> Iterator[bytes]:
    """The content cut after every line feed (`splitlines` would cut at a lone carriage return too)."""
    for chunk in chunks(file, meter):
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            yield chunk[start : end + 1]
            start = end + 1
        if start < len(chunk):
            yield chunk[start:]


def _closed(line: bytearray, length: int, max_bytes: int) -> bytes | Flaw:
    if length > max_bytes:
        return Flaw("oversized", f"a line of {length:,} bytes; the limit is {max_bytes:,}", length)
    return bytes(line).removeprefix(b"\xef\xbb\xbf").strip()
