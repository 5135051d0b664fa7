"""Request logs on their way to the bus: packed, never waited for, never lost.

Rows pile up in memory while the bus is away; beyond a bound the oldest go to an append-only file, a packed batch per
line. A batch keeps its id on every attempt, so the server drops repetitions. At shutdown everything unsent goes to
the file, which the next start replays.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.runtime.publisher import Publisher, WindowPublisher

MAX_ROWS = 100
_AT_ONCE = 20 * MAX_ROWS  # rows taken from memory at once, as so many batches side by side
_MAX_BYTES = 400_000  # well below the megabyte that a NATS message may have
_WAIT_S = 0.2
_MAX_TEXT = 32_000  # characters kept of a prompt or completion


class RequestLogPublisher:
    """A RequestLogSink whose `run` publishes."""

    def __init__(self, spool: Path, rows_in_memory: int) -> None:
        self._spool = spool
        self._limit = rows_in_memory
        self._rows: deque[RequestLog] = deque()
        self._unsent: list[RequestLogBatch] = []
        self._arrived = asyncio.Event()

    def put(self, row: RequestLog) -> None:
        """See RequestLogSink.put."""
        self._rows.append(_trimmed(row))
        self._arrived.set()
        if len(self._rows) > self._limit:
            self._spill(pack([self._rows.popleft() for _ in range(min(MAX_ROWS, len(self._rows)))]))

    async def run(self, publisher: Publisher) -> None:
        """Publish for ever. When cancelled, what is unsent goes to the file."""
        try:
            while True:
                await self._replay(publisher)
                await self._arrived.wait()
                self._arrived.clear()
                await asyncio.sleep(_WAIT_S)
                while self._rows:
                    self._unsent.extend(pack([self._rows.popleft() for _ in range(min(_AT_ONCE, len(self._rows)))]))
                    await _publish(publisher, self._unsent)
                    self._unsent.clear()
        finally:
            self._spill([*self._unsent, *pack(self._rows)])
            self._unsent.clear()
            self._rows.clear()

    def _spill(self, batches: Iterable[RequestLogBatch]) -> None:
        lines = "".join(batch.model_dump_json() + "\n" for batch in batches)
        if not lines:
            return
        self._spool.parent.mkdir(parents=True, exist_ok=True)
        with self._spool.open("a") as file:
            file.write(lines)

    async def _replay(self, publisher: Publisher) -> None:
        """Send what an outage or an earlier process left. A replay cut short begins again with the same ids."""
        taken = self._spool.with_suffix(".replaying")
        for _ in range(2):  # first what an earlier process was replaying
            if taken.exists():
                lines = taken.read_text().splitlines()
                await _publish(publisher, [RequestLogBatch.model_validate_json(line) for line in lines])
                taken.unlink()
            with contextlib.suppress(FileNotFoundError):
                self._spool.rename(taken)


def pack(rows: Iterable[RequestLog]) -> Iterator[RequestLogBatch]:
    """Batches of one model version each, in order, within the limits of rows and bytes."""
    ordered = sorted(rows, key=_version)  # stable: the order within a version stays
    for (run_id, _, _), group in groupby(ordered, key=_version):
        batch: list[RequestLog] = []
        num_bytes = 0
        for row in group:
            size = 4 * (len(row.prompt) + len(row.completion)) + 1000
            if batch and (len(batch) == MAX_ROWS or num_bytes + size > _MAX_BYTES):
                yield RequestLogBatch(run_id=run_id, rows=tuple(batch))
                batch, num_bytes = [], 0
            batch.append(row)
            num_bytes += size
        yield RequestLogBatch(run_id=run_id, rows=tuple(batch))


def _version(row: RequestLog) -> tuple[str, str, int]:
    return row.run_id, row.model, row.model_version


async def _publish(publisher: Publisher, batches: Iterable[RequestLogBatch]) -> None:
    async with WindowPublisher(publisher) as window:
        for batch in batches:
            await window.publish(batch, cause_id=batch.rows[0].request_id, key=batch.rows[-1].request_id)


def _trimmed(row: RequestLog) -> RequestLog:
    if max(len(row.prompt), len(row.completion)) <= _MAX_TEXT:
        return row
    return row.model_copy(update={"prompt": row.prompt[:_MAX_TEXT], "completion": row.completion[:_MAX_TEXT]})
