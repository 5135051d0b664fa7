"""Request logs on their way to the bus: bounded, spooled, packed, never waited for.

A row is in the spool's file before the bus hears of it, so neither an outage of the bus nor the death of this
process loses it. A segment of the spool is always packed in the same way and a batch has its id from its rows, so
what is sent again after a crash is dropped by the server (within the duplicate window of the stream, half an hour).
What the bus refuses for good is set aside; nothing here ends the service.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from itertools import groupby

from ropewalk.bus.errors import BusError, DeniedError
from ropewalk.bus.publisher import Publisher, WindowPublisher
from ropewalk.events.base import Message
from ropewalk.events.foreign import cut, one_line
from ropewalk.events.serving import RequestLog, RequestLogBatch
from ropewalk.serving.adapters.spool import Spool

logger = logging.getLogger(__name__)

MAX_ROWS = 100  # of a message
MAX_TEXT = 32_000  # characters kept of a prompt or completion
_MAX_ERROR = 2_000  # characters
_MAX_BYTES = 400_000  # well below the megabyte that a NATS message may have; one row alone is smaller than that, too
_WAIT_S = 0.2  # rows that come together travel together
_DENIED_S = 2.0  # until a right that is missing is asked for again


class RequestLogPublisher:
    """A RequestLogSink whose `run` publishes; to its own window it is a Publisher for which a refusal is no error."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._arrived = asyncio.Event()

    def put(self, row: RequestLog) -> None:
        """See RequestLogSink.put."""
        self._spool.append(bounded(row))
        self._arrived.set()

    async def run(self, publisher: Publisher) -> None:
        """Publish for ever. When cancelled, what is unsent stays in the spool."""
        self._publisher = publisher
        try:
            while True:
                while (segment := self._spool.take()) is not None:
                    async with WindowPublisher(self) as window:
                        for batch in pack(segment.rows):
                            first, last = batch.rows[0].request_id, batch.rows[-1].request_id
                            await window.publish(batch, cause_id=first, key=last)
                    self._spool.done(segment)
                await self._arrived.wait()
                self._arrived.clear()
                await asyncio.sleep(_WAIT_S)
        finally:
            self._spool.close()

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        """Returns when the message is stored or set aside. A right that is missing may be given: it is waited for."""
        assert isinstance(message, RequestLogBatch)
        while True:
            try:
                return await self._publisher.publish(message, cause_id=cause_id, key=key)
            except DeniedError:
                await asyncio.sleep(_DENIED_S)
            except BusError as error:
                return self._spool.set_aside((row.model_dump_json().encode() for row in message.rows), str(error))


def pack(rows: Iterable[RequestLog]) -> Iterator[RequestLogBatch]:
    """Batches of one model version each, in order, within the limits of rows and bytes."""
    ordered = sorted(rows, key=_version)  # stable: the order within a version stays
    for (run_id, _, _), group in groupby(ordered, key=_version):
        batch: list[RequestLog] = []
        num_bytes = 0
        for row in group:
            size = len(row.model_dump_json().encode())
            if batch and (len(batch) == MAX_ROWS or num_bytes + size > _MAX_BYTES):
                yield RequestLogBatch(run_id=run_id, rows=tuple(batch))
                batch, num_bytes = [], 0
            batch.append(row)
            num_bytes += size
        yield RequestLogBatch(run_id=run_id, rows=tuple(batch))


def bounded(row: RequestLog) -> RequestLog:
    """The row below 400 kB of JSON, whatever a client sent or a backend said, and without what JSON cannot hold."""
    names = ("model", "key_id", "trace_id", "finish_reason", "checkpoint_id")
    texts = {
        "prompt": row.prompt[:MAX_TEXT],
        "completion": row.completion[:MAX_TEXT],
        "error": cut(row.error, _MAX_ERROR),
    }
    return row.model_copy(
        update={name: one_line(getattr(row, name)) for name in names}
        | {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}
    )


def _version(row: RequestLog) -> tuple[str, str, int]:
    return row.run_id, row.model, row.model_version
