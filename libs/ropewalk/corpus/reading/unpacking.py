"""The content of a file as UTF-8 bytes: decompressed to its true end, within bounds, and out of UTF-16 or UTF-32.

`gzip` and `zstandard` hand out the beginning of an archive that was cut short as if it were all of it, or refuse a
whole one that has something behind it. So the members are walked here, and how it ended is said.
"""

import codecs
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

import zstandard

from ropewalk.corpus.errors import CorpusError

CHUNK_BYTES = 1 << 16
# What one call may give: deflate grows at most 1,032-fold, and 4 bytes of zstandard become a block of 128 kB.
_PIECE_BYTES = 1 << 10
_ZSTD_WINDOW_BYTES = 1 << 27  # what `zstd -d` accepts without --long
_FREE_BYTES = 16_000_000  # an archive may grow to this ...
MAX_RATIO = 250  # ... and beyond it by this factor; text rarely exceeds 20
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that one's
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class DamagedError(CorpusError):
    """An archive that is not whole. The text says how."""


class BombError(CorpusError):
    """An archive grows beyond any text."""


class EncodingError(CorpusError):
    """A file with the mark of UTF-16 or UTF-32 that is not written in it. The text says where."""


class TrailingError(CorpusError):
    """Behind a whole archive, all of which was handed out, is something else."""


@dataclass(frozen=True)
class _Form:
    """A form of compression: how its members begin, and what reads one (`decompress`, `eof`, `unused_data`)."""

    name: str
    beginnings: tuple[bytes, ...]
    new_reader: Callable[[], Any]


_SKIPPABLE = tuple(bytes([0x50 + number, 0x2A, 0x4D, 0x18]) for number in range(16))
_FORMS = {
    ".gz": _Form("gzip", (b"\x1f\x8b",), lambda: zlib.decompressobj(wbits=31)),
    ".zst": _Form(
        "zstandard",
        (b"\x28\xb5\x2f\xfd", *_SKIPPABLE),
        lambda: zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj(),
    ),
}


class Meter:
    """Told of every chunk that is read. Who looks at a part only derives from it and raises."""

    def begin(self) -> None:
        """A file is read from its beginning, perhaps for a second time."""

    def count(self, num_packed: int, num_plain: int) -> None:
        """So many bytes of the file on disk are read, and so many more of its content."""


def most_plain(num_packed: int) -> int:
    """How many bytes of content a packed file of `num_packed` bytes may have, before it counts as a bomb."""
    return _FREE_BYTES + MAX_RATIO * num_packed


def content_chunks(packed: IO[bytes], suffix: str, num_packed: int, meter: Meter) -> Iterator[bytes]:
    """The content of an opened file of `num_packed` bytes, with the suffix of its compression or none.

    Raises DamagedError, BombError, EncodingError, and, when all was handed out, TrailingError.
    """
    return _as_utf8(_counted(packed, suffix, num_packed, meter))


def _counted(packed: IO[bytes], suffix: str, num_packed: int, meter: Meter) -> Iterator[bytes]:
    total, allowed = 0, most_plain(num_packed)
    plain = _unpacked(packed, _FORMS[suffix]) if suffix else _as_it_is(packed)
    for chunk in plain:
        total += len(chunk)
        if suffix and total > allowed:
            raise BombError(f"the archive grows more than {MAX_RATIO}-fold; the rest was not read")
        meter.count(packed.tell(), len(chunk))
        yield chunk


def _as_it_is(packed: IO[bytes]) -> Iterator[bytes]:
    while chunk := packed.read(CHUNK_BYTES):
        yield chunk


def _unpacked(packed: IO[bytes], form: _Form) -> Iterator[bytes]:
    """Member after member, in chunks of about CHUNK_BYTES."""
    chunk = bytearray()
    ending: DamagedError | TrailingError | None = None
    try:
        for piece in _members(packed, form):
            chunk += piece
            if len(chunk) >= CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
    except (DamagedError, TrailingError) as error:
        ending = error
    if chunk:
        yield bytes(chunk)
    if ending is not None:
        raise ending


def _members(packed: IO[bytes], form: _Form) -> Iterator[bytes]:
    reader, is_first, piece = None, True, packed.read(_PIECE_BYTES)
    while piece:
        if reader is None:
            piece = _next_beginning(packed, piece, form, is_first=is_first)
            if not piece:
                return
            reader, is_first = form.new_reader(), False
        try:
            plain = reader.decompress(piece)
        except (zlib.error, zstandard.ZstdError) as error:
            raise DamagedError(f"the {form.name} archive is damaged: {error}") from None
        if plain:
            yield plain
        piece = b""
        if reader.eof:
            piece, reader = reader.unused_data, None
        piece = piece or packed.read(_PIECE_BYTES)
    if reader is not None:
        raise DamagedError(f"the {form.name} archive is cut short: its last part is missing; copy it again")


def _next_beginning(packed: IO[bytes], piece: bytes, form: _Form, *, is_first: bool) -> bytes:
    """The beginning of the next member, or nothing where only padding (zeros) is left."""
    while (len(piece) < 4 or not piece.strip(b"\0")) and (more := packed.read(_PIECE_BYTES)):
        piece = piece.lstrip(b"\0") + more if not is_first else piece + more
    if not is_first:
        piece = piece.lstrip(b"\0")
    if not piece or piece.startswith(form.beginnings):
        return piece
    if any(beginning.startswith(piece) for beginning in form.beginnings):
        raise DamagedError(f"the {form.name} archive is cut short: its last part is missing; copy it again")
    if is_first:
        raise DamagedError(f"this is no {form.name} archive, whatever its name says")
    raise TrailingError(f"behind the {form.name} archive, which was read, are bytes that do not belong to it")


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What begins with the mark of UTF-16 or UTF-32 is written anew in UTF-8; everything else passes."""
    first = next(chunks, b"")  # a chunk of less than four bytes is all there is
    encoding = next((name for mark, name in _MARKS if first.startswith(mark)), "")
    if not encoding:
        if first:
            yield first
        yield from chunks
        return
    try:
        for text in codecs.iterdecode(chain([first], chunks), encoding):
            yield text.encode()
    except UnicodeError as error:
        reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        raise EncodingError(f"it begins like {encoding.upper()} and is not: {reason}") from None
