"""Log files of the stack: appended by the processes themselves, rotated when a process starts."""

import codecs
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

MAX_LOG_BYTES = 10 * 1024**2
LONGEST_LINE = 10_000  # characters; a record with its traceback fits
_TAIL_BYTES = 64 * 1024


def open_log(path: Path) -> BinaryIO:
    """Open for appending; a file beyond the cap becomes `<name>.log.1` first. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def tail_lines(path: Path, num_lines: int) -> list[str]:
    """The last lines of a log, without reading all of it; empty if there is no log."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return text.splitlines()[-num_lines:] if num_lines else []


def new_text(path: Path, position: int) -> Iterator[tuple[str, int]]:
    """What was appended since `position`, with the next position; starts over after a rotation."""
    size = path.stat().st_size if path.exists() else 0
    start = position if position <= size else 0
    if start == size:
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a piece may end within a character
    with path.open("rb") as file:
        file.seek(start)
        while start < size and (body := file.read(min(_TAIL_BYTES, size - start))):
            start += len(body)
            yield decoder.decode(body, start == size), start


def bounded_lines(text: IO[str]) -> Iterator[str]:
    """Every line as it comes, with its line break; of one beyond LONGEST_LINE its beginning and `…`.

    No more than that is ever in memory, whatever a process writes.
    """
    begins = True
    while piece := text.readline(LONGEST_LINE - 1):
        ends = piece.endswith("\n")
        if begins:
            yield piece if ends or len(piece) < LONGEST_LINE - 1 else f"{piece}…\n"
        begins = ends
