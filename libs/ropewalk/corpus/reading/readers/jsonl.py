"""The lines of a file, or the reason where they end early. A line that is too long is passed over in chunks."""

from collections.abc import Iterator

from ropewalk.corpus.reading.content import FAULTS, chunks, fault
from ropewalk.corpus.reading.files import SourceFile
from ropewalk.corpus.reading.places import Reach
from ropewalk.corpus.reading.records import Flaw
from ropewalk.corpus.reading.unpacking import Meter


def read_lines(file: SourceFile, max_bytes: int, reach: Reach, meter: Meter) -> Iterator[tuple[int, bytes | Flaw]]:
    """Line numbers (from 1) and lines without their end.

    Of an archive that is cut short, the whole lines before the cut are given, then the reason.
    """
    line = bytearray()
    number, length = 1, 0
    ending: Flaw | None = None
    try:
        for piece in _pieces(file, reach, meter):
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


def _pieces(file: SourceFile, reach: Reach, meter: Meter) -> Iterator[bytes]:
    """The content cut after every line feed (`splitlines` would cut at a lone carriage return too)."""
    for chunk in chunks(file, reach, meter):
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
