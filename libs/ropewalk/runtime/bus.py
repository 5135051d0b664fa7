"""The bus as a service sees it: publish, commit, look up, read, follow.

Every send waits for JetStream's acknowledgement and is repeated with the same message id until the server
answers, so a broker that is away delays a fact and never loses it. A commit is one atomic batch: the state of a
stage by compare-and-set together with everything that follows from the change.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.envelope import Envelope, derived_id
from ropewalk.events.run import StageState
from ropewalk.events.streams import stream_of
from ropewalk.runtime.codec import Stored, now_rfc3339
from ropewalk.runtime.connection import connect_options
from ropewalk.runtime.dead_letters import EXPECTED_SEQUENCE, dead_letter
from ropewalk.runtime.errors import BusError, ConflictError
from ropewalk.runtime.reading import Batch, StreamReader
from ropewalk.runtime.settings import NatsSettings
from ropewalk.runtime.telemetry import current_traceparent
from ropewalk.runtime.waiting import WaitingSends

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)
_SEND_TIMEOUT_S = 5.0
_WRONG_SEQUENCE = {10071, 10164}
_DUPLICATE_ID = 10201
_NO_ROOM = {10023, 10047, 10077}  # the store or the stream has reached its limit; there may be room again


class NoRoom(Exception):
    """JetStream has no room for a message now: its store or the stream is at its limit."""


_PASSING = (
    NoRoom,
    TimeoutError,
    nats.errors.TimeoutError,
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


class Refusal(Exception):
    """JetStream's error answer to one send."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


class Bus:
    """One connection to JetStream. Create it with `connect`."""

    def __init__(self, connection: Client, source: str) -> None:
        self.connection = connection
        self.source = source
        self.waiting = WaitingSends()
        self._reader = StreamReader(connection)

    @classmethod
    async def connect(cls, settings: NatsSettings, name: str) -> Self:
        """Connect, waiting for a server that is still starting."""
        delay_s = 0.1
        while True:
            try:
                return cls(await nats.connect(**connect_options(settings, name)), name)
            except (OSError, nats.errors.NoServersError, nats.errors.TimeoutError, TimeoutError):
                logger.info("waiting for the bus at %s", settings.url)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)

    async def close(self) -> None:
        """Close the connection. Everything sent was already acknowledged."""
        await self.connection.close()

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "", epoch: int = 0) -> None:
        """Send one message. With a cause its id is derived, and a repetition is dropped by the server."""
        outgoing = self.prepare(message, cause_id=cause_id, key=key, epoch=epoch)
        await self._send_surely([outgoing])

    async def publish_all(self, messages: Sequence[Message], *, cause_id: str, epoch: int = 0) -> None:
        """Send all messages or none. The same cause sends the same messages, so a repetition is no error."""
        if messages:
            await self._send_surely(
                [
                    self.prepare(message, cause_id=cause_id, key=str(index), epoch=epoch)
                    for index, message in enumerate(messages)
                ]
            )

    async def commit(self, state: StageState, revision: int, messages: Sequence[Outgoing]) -> int:
        """Write a stage's state and what follows from it, all or nothing. Returns the new revision.

        Raises ConflictError when the state is no longer at `revision` and the change was not this one.
        """
        snapshot = self.prepare_snapshot(state, revision, state.operation_id)
        while True:
            try:
                return await self._send_with_patience([snapshot, *messages]) - len(messages)
            except Refusal as refusal:
                if refusal.code not in _WRONG_SEQUENCE | {_DUPLICATE_ID}:
                    raise BusError(str(refusal)) from None
            current, current_revision = await self.read_state(state.subject)
            if current is not None and current.operation_id == state.operation_id:
                return current_revision
            raise ConflictError(f"{state.subject} has moved on from revision {revision}")

    async def read_state(self, subject: str) -> tuple[StageState | None, int]:
        """The snapshot of a stage and its revision; (None, 0) if there is none."""
        return await self.read_snapshot(StageState, subject)

    async def read_snapshot(self, kind: type[M], subject: str) -> tuple[M | None, int]:
        """The newest snapshot on a subject and its revision; (None, 0) if there is none."""
        raw = await self._reader.last(stream_of(subject), subject)
        return (None, 0) if raw is None else (kind.model_validate_json(raw.data or b""), raw.seq or 0)

    async def last(self, kind: type[M], run_id: str) -> M | None:
        """The newest message of a type for a run."""
        subject = f"{kind.subject_prefix()}.{run_id}"
        raw = await self._reader.last(stream_of(subject), subject)
        return None if raw is None else kind.model_validate_json(raw.data or b"")

    def read(self, subject_filter: str, *, stream: str = "CONTROL") -> AsyncIterator[Stored[Message]]:
        """Everything stored now, oldest first. Malformed messages are left out (they are dead letters)."""
        return self._reader.read(stream, subject_filter)

    def follow(
        self, subject_filter: str, *, stream: str = "CONTROL", from_now: bool = False
    ) -> AsyncIterator[Stored[Message]]:
        """As `read`, but it never ends. Survives restarts of the server without a gap."""
        return self._reader.follow(stream, subject_filter, from_now=from_now)

    def batches(self, consumer: ConsumerSpec, *, max_messages: int, max_wait_s: float) -> AsyncIterator[Batch]:
        """Batches for a sink under a durable consumer; what is not acknowledged comes again."""
        return self._reader.batches(consumer, max_messages=max_messages, max_wait_s=max_wait_s)

    def prepare(self, message: Message, *, cause_id: str = "", key: str = "", epoch: int = 0) -> Outgoing:
        """Give a message its envelope."""
        type_name = message.type_name()
        envelope = Envelope(
            id=derived_id(cause_id, type_name, key) if cause_id else str(uuid.uuid4()),
            type=type_name,
            source=f"/svc/{self.source}",
            time=now_rfc3339(),
            run_id=message.run_id,
            cause_id=cause_id,
            epoch=epoch,
            traceparent=current_traceparent(),
        )
        return Outgoing(subject=message.subject, body=message.model_dump_json().encode(), headers=envelope.headers())

    def prepare_snapshot(self, message: Message, revision: int, operation_id: str) -> Outgoing:
        """A snapshot that replaces the one at `revision` (0: there is none) and never expires."""
        outgoing = self.prepare(message, cause_id=operation_id)
        outgoing.headers[EXPECTED_SEQUENCE] = str(revision)
        outgoing.headers["Nats-TTL"] = "never"
        return outgoing

    async def dead_letter(self, stored_in: str, consumer: str, raw: Any, error: str) -> None:
        """Set a raw message aside with its headers and the reason, once however often this is called."""
        subject, headers = dead_letter(raw, stored_in, consumer, error)
        try:
            await self._send_with_patience([Outgoing(subject=subject, body=raw.data, headers=headers)])
        except Refusal as refusal:
            if refusal.code not in _WRONG_SEQUENCE:  # the letter is there already
                raise BusError(f"the bus refused {subject}: {refusal}") from None

    async def _send_surely(self, batch: list[Outgoing]) -> None:
        try:
            await self._send_with_patience(batch)
        except Refusal as refusal:
            if refusal.code != _DUPLICATE_ID:
                raise BusError(f"the bus refused {batch[0].subject}: {refusal}") from None

    async def _send_with_patience(self, batch: list[Outgoing]) -> int:
        """Repeat until the server answers. Returns the stream sequence of the last message."""
        delay_s, number = 0.1, self.waiting.begin()
        try:
            while True:
                try:
                    return await self._send(batch)
                except _PASSING as error:
                    reason = _said(error)
                    logger.warning("bus away (%s), keeping %s", reason, batch[0].subject)
                    self.waiting.refused(number, batch[0].subject, reason)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)
        finally:
            self.waiting.end(number)

    async def _send(self, batch: list[Outgoing]) -> int:
        if len(batch) == 1:
            return await self._request(batch[0], batch[0].headers)
        batch_id = uuid.uuid4().hex
        for index, outgoing in enumerate(batch, start=1):
            headers = outgoing.headers | {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(index)}
            if index == len(batch):
                return await self._request(outgoing, headers | {"Nats-Batch-Commit": "1"})
            if index == 1:
                await self._request(outgoing, headers)
            else:
                await self.connection.publish(outgoing.subject, outgoing.body, headers=headers)
        raise AssertionError("an empty batch")

    async def _request(self, outgoing: Outgoing, headers: dict[str, str]) -> int:
        reply = await self.connection.request(outgoing.subject, outgoing.body, timeout=_SEND_TIMEOUT_S, headers=headers)
        answer = json.loads(reply.data) if reply.data else {}
        if error := answer.get("error"):
            code, description = error.get("err_code", 0), error.get("description", "")
            raise NoRoom(description) if code in _NO_ROOM else Refusal(code, description)
        return int(answer.get("seq", 0))


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):  # nats-py's is one, too
        return f"no acknowledgement in {_SEND_TIMEOUT_S:.0f} s"
    return str(error) or type(error).__name__
