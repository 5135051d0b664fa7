"""Sends messages to JetStream, one or an atomic batch, and repeats them until the server has answered."""

import asyncio
import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import nats.errors

from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.bus.client import GuardedClient
from ropewalk.bus.errors import TooLargeError
from ropewalk.bus.waiting import WaitingSends
from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import one_line

logger = logging.getLogger(__name__)

WRONG_SEQUENCE = {10071, 10164}  # the two answers to a compare-and-set that failed
DUPLICATE_ID = 10201  # a batch holds a message id that the stream has seen
_SEND_TIMEOUT_S = 5.0  # a healthy server answers in milliseconds; it is asked again under the same ids
_OWN_HEADERS_BYTES = 256  # what a batch adds to each of its messages
_NOT_NOW = {
    10023,  # no resources
    10047,  # the store has reached its limit
    10077,  # the stream has
    10176,  # part of the batch is missing: the connection was lost in the middle of it
    10210,  # too many batches at once
}


class NotNowError(RopewalkError):
    """JetStream cannot take a message now: there may be room again, or the batch arrives whole the next time."""


PASSING = (
    NotNowError,
    TimeoutError,  # nats-py's is one, too
    ConnectionError,  # asyncio's, where the server goes in the middle of our writing
    nats.errors.NoRespondersError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
)


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A message ready to be sent."""

    subject: str
    body: bytes
    headers: dict[str, str]

    @property
    def num_bytes(self) -> int:
        """Its size as the server counts it."""
        lines = (f"{name}: {value}\r\n" for name, value in self.headers.items())
        return len(self.body) + sum(len(line.encode()) for line in lines)


class RefusedSendError(RopewalkError):
    """JetStream's error answer to one send."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


class Sender:
    """Sends over one connection. `waiting` tells what could not be sent yet."""

    def __init__(self, connection: GuardedClient) -> None:
        self.waiting = WaitingSends()
        self._connection = connection

    async def send(self, batch: Sequence[Outgoing]) -> int:
        """Store all messages or none, however long the server is away. Returns the stream sequence of the last.

        Raises RefusedSendError for an answer that will not change, and TooLargeError before anything is sent: the
        server breaks the connection over a message that is too large, and would do so again.
        """
        for outgoing in batch:
            check_size(outgoing, self._connection.max_payload)
        delay_s, number = 0.1, self.waiting.begin()
        try:
            while True:
                try:
                    return await self._try_once(batch)
                except (RefusedSendError, *PASSING) as error:
                    for outgoing in batch:  # the server answers for the last one only, whichever has no right
                        self._connection.denied.raise_for(outgoing.subject)
                    if isinstance(error, RefusedSendError):
                        raise
                    pass_on_cancellation()
                    reason = _said(error)
                    logger.warning("bus away (%s), keeping %s", reason, batch[0].subject)
                    self.waiting.refused(number, batch[0].subject, reason)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)
        finally:
            self.waiting.end(number)

    async def _try_once(self, batch: Sequence[Outgoing]) -> int:
        """As `send`, but raises one of PASSING when the server does not answer or cannot take it now.

        Only the last message of a batch asks for an answer, which tells what is wrong with any of them.
        """
        if len(batch) == 1:
            return await self._request(batch[0], batch[0].headers)
        batch_id = uuid.uuid4().hex
        for index, outgoing in enumerate(batch, start=1):
            headers = outgoing.headers | {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(index)}
            if index == len(batch):
                return await self._request(outgoing, headers | {"Nats-Batch-Commit": "1"})
            await self._connection.publish(outgoing.subject, outgoing.body, headers=headers)
        raise AssertionError("an empty batch")

    async def _request(self, outgoing: Outgoing, headers: dict[str, str]) -> int:
        reply = await self._connection.request(
            outgoing.subject, outgoing.body, timeout=_SEND_TIMEOUT_S, headers=headers
        )
        answer = json.loads(reply.data) if reply.data else {}
        if error := answer.get("error"):
            code, description = error.get("err_code", 0), error.get("description", "")
            raise NotNowError(description) if code in _NOT_NOW else RefusedSendError(code, description)
        return int(answer.get("seq", 0))


def check_size(outgoing: Outgoing, most_bytes: int) -> None:
    """Raises TooLargeError unless headers and body fit into a message of `most_bytes`."""
    num_bytes = outgoing.num_bytes + _OWN_HEADERS_BYTES
    if num_bytes > most_bytes:
        raise TooLargeError(
            f"a message on {one_line(outgoing.subject)} has {num_bytes:,} bytes, and the bus takes {most_bytes:,}"
        )


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):  # nats-py's is one, too
        return f"no acknowledgement in {_SEND_TIMEOUT_S:.0f} s"
    return str(error) or type(error).__name__
