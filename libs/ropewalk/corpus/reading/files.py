"""The files of a source, and their bytes, with a bound on what decompression may cost."""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard

from ropewalk.corpus.reading.records import Flaw
from ropewalk.corpus.reading.selection import Selection, archive_suffix
from ropewalk.recipes.recipe import SourceRecipe

_CHUNK_BYTES = 1 << 16
_ZSTD_WINDOW_BYTES = 1 << 27  # what `zstd -d` accepts without --long
_FREE_BYTES = 64_000_000  # an archive may grow to this ...
_MAX_RATIO = 250  # ... and beyond it by this factor; text rarely exceeds 20
_CORRUPT = (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError)


class BombError(Exception):
    """An archive grows beyond any text."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `path` is relative to the source, with `/`."""

    path: str
    location: Path


def list_files(source: SourceRecipe) -> list[SourceFile]:
    """Every regular file that belongs to the source, sorted by relative path, whatever order the disk gives."""
    return sorted(walk_files(source), key=lambda file: file.path)


def walk_files(source: SourceRecipe) -> Iterator[SourceFile]:
    """The same files as they are found."""
    root = Path(source.path).expanduser()
    if root.is_file():
        yield SourceFile(root.name, root)
        return
    selection = Selection(source.include, source.exclude)
    unreadable: list[Path] = []

    def keep_unreadable(error: OSError) -> None:
        unreadable.append(Path(error.filename))  # reading it will give the reason

    for folder, subfolders, names in os.walk(root, onerror=keep_unreadable):
        prefix = Path(folder).relative_to(root).as_posix() + "/"
        prefix = "" if prefix == "./" else prefix
        subfolders[:] = [name for name in subfolders if selection.enters_folder(prefix + name)]
        yield from (
            SourceFile(prefix + name, Path(folder, name))
            for name in names
            if selection.takes_file(prefix + name) and _is_regular(Path(folder, name))
        )
    yield from (SourceFile(location.relative_to(root).as_posix(), location) for location in unreadable)


def _is_regular(location: Path) -> bool:
    """Pipes and devices would block a reader for ever; a broken link is left to the reader, which says so."""
    try:
        return stat.S_ISREG(location.stat().st_mode)
    except OSError:
        return True


class Meter:
    """Told of every chunk that is read. Who wants to look at a part only derives from it and raises."""

    def count(self, num_packed: int, num_plain: int) -> None:
        """So many bytes of the file on disk are read, and so many more of its content."""


def _chunks(file: SourceFile, meter: Meter) -> Iterator[bytes]:
    """The file's content, decompressed on the way."""
    with file.location.open("rb") as packed, _plain(packed, archive_suffix(file.path)) as plain:
        while chunk := plain.read(_CHUNK_BYTES):
            meter.count(packed.tell(), len(chunk))
            yield chunk


def _plain(packed: IO[bytes], suffix: str) -> IO[bytes]:
    match suffix:
        case ".gz":
            return cast(IO[bytes], gzip.open(packed, "rb"))
        case ".zst":
            decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
            return decompressor.stream_reader(packed, read_across_frames=True)
        case _:
            return packed


def read_whole(file: SourceFile, max_bytes: int, meter: Meter) -> bytes | Flaw:
    """All bytes of a file, or why not. Never holds more than `max_bytes` and a chunk."""
    pieces, size = [], 0
    try:
        for piece in _chunks(file, meter):
            pieces.append(piece)
            size += len(piece)
            if size > max_bytes:
                break
    except (*_CORRUPT, OSError) as error:
        return read_flaw(error)
    if size > max_bytes:
        return Flaw("oversized", f"larger than {max_bytes:,} bytes: split it", size)
    return b"".join(pieces)


def read_lines(file: SourceFile, max_bytes: int, meter: Meter) -> Iterator[tuple[int, bytes | Flaw]]:
    """Line numbers (from 1) and lines without their end. A line that is too long is passed over in chunks."""
    line = bytearray()
    number, length = 1, 0
    try:
        for piece in _pieces(file, meter):
            ends = piece.endswith(b"\n")
            length += len(piece)
            if length <= max_bytes:
                line += piece
            if ends:
                yield number, _closed(line, length, max_bytes)
                line.clear()
                number, length = number + 1, 0
        if length:
            yield number, _closed(line, length, max_bytes)
    except BombError as error:
        yield number, Flaw("decompression_bomb", str(error))
    except (*_CORRUPT, OSError) as error:
        yield number, read_flaw(error)


def _pieces(file: SourceFile, meter: Meter) -> Iterator[bytes]:
    """The file cut after every line end; no piece is larger than a chunk. Raises BombError."""
    allowed = _FREE_BYTES + _MAX_RATIO * file.location.stat().st_size
    total = 0
    for chunk in _chunks(file, meter):
        total += len(chunk)
        if total > allowed:
            raise BombError(f"the archive grows more than {_MAX_RATIO}-fold; the rest was not read")
        yield from _split(chunk)


def _split(chunk: bytes) -> Iterator[bytes]:
    """Cut after every line feed (`splitlines` would cut at a lone carriage return too)."""
    start = 0
    while (end := chunk.find(b"\n", start)) >= 0:
        yield chunk[start : end + 1]
        start = end + 1
    if start < len(chunk):
        yield chunk[start:]


def _closed(line: bytearray, length: int, max_bytes: int) -> bytes | Flaw:
    if length > max_bytes:
        return Flaw("oversized", f"a line of {length:,} bytes; the limit is {max_bytes:,}", length)
    return bytes(line).strip()


def read_flaw(error: BaseException) -> Flaw:
    """What a failed read means for the user."""
    corrupt = isinstance(error, _CORRUPT)
    return Flaw("corrupt_archive" if corrupt else "unreadable", " ".join(str(error).split()) or type(error).__name__)
