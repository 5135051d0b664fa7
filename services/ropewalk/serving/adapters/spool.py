"""An append-only queue of request-log rows on disk: a row is in a file before anything else is done with it.

The kernel has a row as soon as `append` returns, so a process that is killed loses none (a machine that loses power
may lose the last second). Rows are taken a segment at a time, oldest first; a segment is removed when its rows are
published, so what an earlier process left is read again as it was. What cannot be read or published is set aside.
Nothing here raises: a disk that is full or broken costs rows, which are counted, and never an answer to a client.
"""

import errno
import logging
import os
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import one_line
from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.telemetry.metrics import gauge

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 1 << 20  # read at once, so it decides how long the event loop is held: about 10 ms
SET_ASIDE_BYTES = 16 << 20  # of the file for what will never be published
_NAME = re.compile(r"[0-9]{12}\.jsonl")


@dataclass(frozen=True)
class Segment:
    """Some rows in the order they ended. `path` is where they lie; None for those that no disk would take."""

    rows: tuple[RequestLog, ...]
    path: Path | None


class Spool:
    """The queue in one folder, which belongs to one process at a time.

    `max_bytes` bounds the files; rows beyond it are dropped. `rows_in_memory` are kept while the disk takes none.
    """

    def __init__(self, folder: Path, max_bytes: int, rows_in_memory: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._unwritten: deque[RequestLog] = deque(maxlen=rows_in_memory)
        self._taken: tuple[RequestLog, ...] = ()  # of the unwritten ones
        self._file = -1  # the descriptor of the newest segment; -1 while there is none
        self._file_bytes = 0
        _adopt(folder)
        self._segments: deque[Path] = deque(_left_in(folder))
        self._num_segments = 1 + max((int(path.stem) for path in self._segments), default=1)
        self._num_bytes = sum(_size(path) for path in self._segments)
        self.num_lost = 0

    def append(self, row: RequestLog) -> None:
        """Keep a row until it is published."""
        line = row.model_dump_json().encode() + b"\n"
        if self._num_bytes + len(line) > self._max_bytes:
            self._lose(f"{self._folder} has reached its limit of {self._max_bytes} bytes")
            return
        try:
            self._write(line)
        except OSError as error:
            self._close()
            if len(self._unwritten) == self._unwritten.maxlen:
                self._lose(f"{self._folder} cannot be written ({error.strerror})")
            self._unwritten.append(row)

    def measure(self) -> None:
        """Export how much waits and how many rows were lost."""
        gauge("ropewalk.spool.size", self._num_bytes)
        gauge("ropewalk.spool.lost", self.num_lost)

    def take(self) -> Segment | None:
        """The oldest rows; none if all are published. The same ones again until they are `done`."""
        if self._unwritten and not self._taken:
            self._taken = tuple(self._unwritten)
            self._unwritten.clear()
        if self._taken:
            return Segment(self._taken, None)
        while self._segments:
            path = self._segments[0]
            if len(self._segments) == 1:
                self._close()  # what comes from now on goes to the next one
            rows = self._rows_of(path)
            if rows:
                return Segment(rows, path)
            self._forget(path)
        return None

    def done(self, segment: Segment) -> None:
        """Its rows are published or set aside."""
        if segment.path is None:
            self._taken = ()
        else:
            self._forget(segment.path)

    def set_aside(self, lines: Iterable[bytes], reason: str) -> None:
        """Keep what will never be published where a person finds it, within a bound."""
        path = self._folder / "set-aside"
        logger.error("request logs set aside in %s: %s", path, one_line(reason))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                for line in lines:
                    if file.tell() + len(line) > SET_ASIDE_BYTES:
                        self._lose(f"{path} has reached its limit of {SET_ASIDE_BYTES} bytes")
                    else:
                        file.write(line + b"\n")
        except OSError as error:
            self._lose(f"{path} cannot be written ({error.strerror})")

    def close(self) -> None:
        """The process ends: what no disk would take gets a last try."""
        rows = (*self._taken, *self._unwritten)
        self._taken, self._unwritten = (), deque(maxlen=0)
        for row in rows:
            self.append(row)
        self._close()

    def _write(self, line: bytes) -> None:
        if self._file < 0:
            self._open()
        written = os.write(self._file, line)
        if written < len(line):  # the disk is full: no torn line stays
            os.ftruncate(self._file, self._file_bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._num_bytes += written
        self._file_bytes += written
        if self._file_bytes >= SEGMENT_BYTES:
            self._close()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._num_segments:012d}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._num_segments += 1
        self._file_bytes = 0
        self._segments.append(path)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _rows_of(self, path: Path) -> tuple[RequestLog, ...]:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            self.set_aside((), f"{path} cannot be read ({error.strerror})")
            return ()
        rows: list[RequestLog] = []
        broken: list[bytes] = []
        for line in lines:
            try:
                rows.extend(_rows(line))
            except ValueError:  # pydantic's is one
                broken.append(line)
        if broken:
            self.set_aside(broken, f"{len(broken)} lines of {path} are no request logs")
            self._rewrite(path, rows)
        return tuple(rows)

    def _rewrite(self, path: Path, rows: Iterable[RequestLog]) -> None:
        """Without its broken lines, so that they are set aside once."""
        sound = path.with_suffix(".sound")
        try:
            sound.write_bytes(b"".join(row.model_dump_json().encode() + b"\n" for row in rows))
            sound.replace(path)
        except OSError as error:
            logger.warning("%s keeps its broken lines (%s)", path, error.strerror)

    def _forget(self, path: Path) -> None:
        self._segments.remove(path)
        self._num_bytes = max(0, self._num_bytes - _size(path))
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s stays (%s): its rows will be sent again", path, error.strerror)

    def _lose(self, why: str) -> None:
        self.num_lost += 1
        if self.num_lost.bit_count() == 1:  # 1, 2, 4, 8 …: a line says it, a flood does not
            logger.error("%d request logs are lost: %s", self.num_lost, why)


def _rows(line: bytes) -> tuple[RequestLog, ...]:
    """The rows of a line: one, or in the spools of older versions a batch. Raises ValueError."""
    if line.startswith(b'{"run_id":'):
        return RequestLogBatch.model_validate_json(line).rows
    row = RequestLog.model_validate_json(line)
    if not re.fullmatch(RUN_ID_PATTERN, row.run_id):
        raise ValueError(f"{row.run_id!r} is no run id, so the row has no subject")
    return (row,)


def _adopt(folder: Path) -> None:
    """The two files in which older versions left their rows become the oldest segments."""
    for number, suffix in enumerate((".replaying", ".jsonl")):
        try:
            if folder.with_suffix(suffix).is_file():
                folder.mkdir(parents=True, exist_ok=True)
                folder.with_suffix(suffix).rename(folder / f"{number:012d}.jsonl")
        except OSError as error:
            logger.warning("%s cannot be taken over (%s)", folder.with_suffix(suffix), error.strerror)


def _left_in(folder: Path) -> list[Path]:
    """What an earlier process left, oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
