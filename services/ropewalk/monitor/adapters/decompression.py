"""Compressed bodies, read a little at a time: 49 kB of zeros must not become 1.5 GB before anybody counts."""

import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame  # type: ignore[import-untyped]  # the package has no types
import zstandard

from ropewalk.monitor.adapters.embedded import BAD_ARGUMENTS, NOT_IMPLEMENTED, refused

_MAX_WINDOW_BYTES = 16 * 1024**2  # a zstd frame may claim gigabytes, which would be reserved at once


# Of each: how to begin a member, and how many bytes to feed at once. What these can become is at most some 16 MB:
# deflate grows 1,032 times, lz4 255 times, zstd 32,768 times.
_CODINGS: dict[str, tuple[Callable[[], Any], int]] = {
    "gzip": (lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), 16 * 1024),
    "deflate": (lambda: zlib.decompressobj(), 16 * 1024),
    "lz4": (lz4.frame.LZ4FrameDecompressor, 64 * 1024),
    "zstd": (lambda: zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj(), 512),
}


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The whole of `body`, of `limit` bytes at most; blocking. Raises EngineError, also for a body that was cut off."""
    if encoding in ("", "identity"):
        return body
    if encoding not in _CODINGS:
        sentence = f"Content-Encoding {encoding[:40]!r} is not served: use gzip, deflate, lz4 or zstd"
        raise refused(NOT_IMPLEMENTED, sentence)
    try:
        return _read(body, encoding, limit)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError) as error:
        raise refused(BAD_ARGUMENTS, f"the body is not {encoding}: {error}") from None


def _read(body: bytes, encoding: str, limit: int) -> bytes:
    begin, step = _CODINGS[encoding]
    pieces: list[bytes] = []
    at, size, decoder = 0, 0, begin()
    while at < len(body):
        if decoder.eof:
            decoder = begin()
        fed = body[at : at + step]
        pieces.append(decoder.decompress(fed))
        at += len(fed) - (len(decoder.unused_data or b"") if decoder.eof else 0)
        size += len(pieces[-1])
        if size > limit:
            raise refused(BAD_ARGUMENTS, f"the body is longer than {limit:,} bytes when decompressed")
    if not decoder.eof:
        raise refused(BAD_ARGUMENTS, f"the body is not {encoding}: it ends too early")
    return b"".join(pieces)
