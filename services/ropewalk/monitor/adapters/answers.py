"""Answers in the memory of this process: large ones are made one at a time, and wait for their clients in a file."""

import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import IO, TypeVar

from ropewalk.monitor.adapters.embedded import EngineError, Statement, refused
from ropewalk.monitor.adapters.slots import TOO_MANY_QUERIES

T = TypeVar("T")

PIECE_BYTES = 256 * 1024  # what is sent at once, and kept in memory
SMALL_BYTES = 16 * 1024**2  # of rows: an answer of this size may be made beside others
_TOO_MANY_BYTES = 396  # ClickHouse's number for an answer beyond max_result_bytes
_PATIENCE_S = 20.0  # for others who make a large answer
_LIMIT = "max_result_bytes"


def make(statement: Statement, run: Callable[[Statement], T], large: threading.Lock) -> T:
    """Run it as one with a small answer; if that is not so, again under the lock that one large answer needs.

    Blocking; any number of threads may call it.
    """
    if "result_overflow_mode" not in statement.settings:  # else the small answer would be a cut one
        try:
            return run(_with_a_small_answer(statement))
        except EngineError as error:
            if error.code != _TOO_MANY_BYTES or _asks_for_little(statement):
                raise
    if not large.acquire(timeout=_PATIENCE_S):
        raise refused(
            TOO_MANY_QUERIES,
            f"others have been fetching large answers for {_PATIENCE_S:.0f} s: try again, or ask for less "
            "(TOO_MANY_SIMULTANEOUS_QUERIES)",
        )
    try:
        return run(statement)
    finally:
        large.release()


def _asks_for_little(statement: Statement) -> bool:
    given = statement.settings.get(_LIMIT, "")
    return given.isdecimal() and 0 < int(given) <= SMALL_BYTES


def _with_a_small_answer(statement: Statement) -> Statement:
    if _asks_for_little(statement):
        return statement
    return replace(statement, settings={**statement.settings, _LIMIT: str(SMALL_BYTES)})


def kept(body: bytes) -> bytes | IO[bytes]:
    """What is longer than a piece lies in a file without a name, if the disk takes it: a client may take its time."""
    if len(body) <= PIECE_BYTES:
        return body
    file = None
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been sent
        file.write(body)
        file.seek(0)
    except OSError:
        if file is not None:
            file.close()
        return body
    return file


async def pieces(body: bytes | IO[bytes]) -> AsyncIterator[bytes]:
    """A slow client holds one piece in the connection's buffer, not all of it."""
    if isinstance(body, bytes):
        for start in range(0, len(body), PIECE_BYTES):
            yield body[start : start + PIECE_BYTES]
        return
    with body:
        while piece := body.read(PIECE_BYTES):
            yield piece
