"""The bus as a service sees it: publish, commit, look up, read, follow.

Every send waits for JetStream's acknowledgement and is repeated with the same message id until the server
answers, so a broker that is away delays a fact and never loses it. A commit is one atomic batch: the state of a
stage by compare-and-set together with everything that follows from the change. Nothing here lets a run end twice.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Self, TypeVar, cast

import nats.errors

from ropewalk.bus.batches import Batch, batches
from ropewalk.bus.client import GuardedClient
from ropewalk.bus.codec import Stored, decoded, now_rfc3339
from ropewalk.bus.connection import connect
from ropewalk.bus.dead_letters import EXPECTED_ON, EXPECTED_SEQUENCE, dead_letter
from ropewalk.bus.endings import ending_of, endings_of, excluded_by, with_first_endings
from ropewalk.bus.errors import BusError, ConflictError, MalformedMessageError
from ropewalk.bus.incoming import Incoming
from ropewalk.bus.reading import StreamReader
from ropewalk.bus.sending import DUPLICATE_ID, WRONG_SEQUENCE, Outgoing, RefusedSendError, Sender
from ropewalk.bus.settings import NatsSettings
from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.envelope import Envelope, derived_id
from ropewalk.events.run import RunEnding, StageState
from ropewalk.events.streams import stream_of
from ropewalk.events.upcasters import with_older_forms
from ropewalk.telemetry.spans import current_traceparent

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


class Bus(StreamReader):
    """One connection to JetStream: what reads a stream, and what sends. Create it with `connect`."""

    def __init__(self, connection: GuardedClient, source: str) -> None:
        super().__init__(connection)
        self.source = source
        self._sender = Sender(connection)
        self.waiting = self._sender.waiting

    @classmethod
    async def connect(cls, settings: NatsSettings, name: str) -> Self:
        """Connect, waiting for a server that is still starting."""
        delay_s = 0.1  # grows to 2 s: the server may be starting beside us
        while True:
            try:
                return cls(await connect(settings, name), name)
            except (OSError, nats.errors.NoServersError, nats.errors.TimeoutError, TimeoutError):
                logger.info("waiting for the bus at %s", settings.address)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)

    async def close(self) -> None:
        """Close the connection. Everything sent was already acknowledged."""
        with suppress(OSError):  # what a server that is going away makes of the last bytes
            await self.connection.close()

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "", epoch: int = 0) -> None:
        """Send one message. With a cause its id is derived, and a repetition is dropped by the server.

        Raises ConflictError if the log already has what excludes it, or says once per run what this says otherwise.
        """
        outgoing = self.prepare(message, cause_id=cause_id, key=key, epoch=epoch)
        await self.send([outgoing])
        await self._check_said([message])

    async def publish_all(self, messages: Sequence[Message], *, cause_id: str) -> None:
        """Send all messages or none. The same cause sends the same messages, so a repetition is no error.

        Raises ConflictError as `publish` does.
        """
        if messages:
            await self.send(
                [self.prepare(message, cause_id=cause_id, key=str(index)) for index, message in enumerate(messages)]
            )
            await self._check_said(messages)

    async def commit(self, state: StageState, revision: int, messages: Sequence[Outgoing]) -> int:
        """Write a stage's state and what follows from it, all or nothing. Returns the new revision.

        The terminal event of a run that has ended already is left out. Raises ConflictError when a state in the
        batch is no longer at its revision and the change was not this one.
        """
        batch = with_first_endings([self.prepare_snapshot(state, revision, state.operation_id), *messages])
        while True:
            endings = self._endings(batch)
            try:
                # The sequence of the last message is known; the state is the first of the batch.
                return await self._sender.send([*batch, *endings]) - len(batch) - len(endings) + 1
            except RefusedSendError as refusal:
                if refusal.code not in WRONG_SEQUENCE | {DUPLICATE_ID}:
                    raise BusError(str(refusal)) from None
            current, current_revision = await self.read_state(state.subject)
            if current is not None and current.operation_id == state.operation_id:
                return current_revision  # our own batch was stored, and its acknowledgement was lost
            left, _ = await self._without_ended(batch)
            if current_revision != revision or len(left) == len(batch):
                raise ConflictError(f"{state.subject} or what goes with it has moved on from revision {revision}")
            batch = left

    async def replace(self, message: Message, revision: int, operation_id: str) -> None:
        """Write a snapshot of its own, without a stage. Raises ConflictError if the one at `revision` was replaced."""
        try:
            await self._sender.send([self.prepare_snapshot(message, revision, operation_id)])
        except RefusedSendError as refusal:
            if refusal.code not in WRONG_SEQUENCE:
                raise BusError(str(refusal)) from None
            raise ConflictError(f"{message.subject} has moved on from revision {revision}") from None

    async def read_state(self, subject: str) -> tuple[StageState | None, int]:
        """The snapshot of a stage and its revision; (None, 0) if there is none."""
        return await self.read_snapshot(StageState, subject)

    async def read_snapshot(self, kind: type[M], subject: str) -> tuple[M | None, int]:
        """The newest snapshot on a subject and its revision; (None, 0) if there is none."""
        raw = await self.newest(subject, stream=stream_of(subject))
        return (None, 0) if raw is None else (kind.model_validate_json(raw.body), raw.sequence)

    async def last(self, kind: type[M], entity: str) -> M | None:
        """The newest message of a type about a run, or about what else the type is about."""
        newest = await self.last_stored(kind, entity)
        return None if newest is None else newest.message

    async def last_stored(self, kind: type[M], entity: str) -> Stored[M] | None:
        """As `last`, with where it lies. It is one of an older form if there is none in the present one."""
        for subject in with_older_forms(f"{kind.subject_prefix()}.{entity}"):
            raw = await self.newest(subject, stream=stream_of(subject))
            if raw is None:
                continue
            try:
                found: Stored[Message] | None = decoded(raw)
            except MalformedMessageError:
                found = await self._last_sound(subject)
            if found is not None and isinstance(found.message, kind):
                return cast(Stored[M], found)
        return None

    async def _last_sound(self, subject: str) -> Stored[Message] | None:
        """The newest well-formed message of a subject whose newest is a dead letter."""
        newest = None
        async for stored in self.read(subject):
            newest = stored
        return newest

    def batches(self, consumer: ConsumerSpec, *, max_messages: int, max_wait_s: float) -> AsyncIterator[Batch]:
        """Batches for a sink under a durable consumer; what is not acknowledged comes again."""
        return batches(self.connection, consumer, max_messages=max_messages, max_wait_s=max_wait_s)

    def prepare(self, message: Message, *, cause_id: str = "", key: str = "", epoch: int = 0) -> Outgoing:
        """Give a message its envelope."""
        type_name = message.type_name()
        origin, key = (message.entity, "") if message.once_per_run else (cause_id, key)
        envelope = Envelope(
            id=derived_id(origin, type_name, key) if origin else str(uuid.uuid4()),
            type=type_name,
            source=f"/svc/{self.source}",
            time=now_rfc3339(),
            run_id=message.run_id,
            about="" if message.about == "run_id" else f"{message.about.removesuffix('_id')}/{message.entity}",
            cause_id=cause_id,
            epoch=epoch,
            traceparent=current_traceparent(),
        )
        headers = envelope.headers()
        if other := excluded_by(message.subject):
            headers |= {EXPECTED_ON: other, EXPECTED_SEQUENCE: "0"}
        return Outgoing(subject=message.subject, body=message.model_dump_json().encode(), headers=headers)

    def prepare_snapshot(self, message: Message, revision: int, operation_id: str) -> Outgoing:
        """A snapshot that replaces the one at `revision` (0: there is none) and never expires."""
        outgoing = self.prepare(message, cause_id=operation_id, key=message.subject)
        outgoing.headers[EXPECTED_SEQUENCE] = str(revision)
        outgoing.headers["Nats-TTL"] = "never"  # it outlives the stream's age limit
        return outgoing

    async def dead_letter(self, stored_in: str, consumer: str, raw: Incoming, error: str) -> None:
        """Set a raw message aside with its headers and the reason, once however often this is called."""
        most_bytes = self.connection.max_payload
        try:
            await self._sender.send([dead_letter(raw, stored_in, consumer, error, most_bytes)])
        except RefusedSendError as refusal:
            if refusal.code not in WRONG_SEQUENCE:  # the letter is there already
                raise BusError(f"the bus refused a dead letter from {consumer}: {refusal}") from None

    async def send(self, batch: Sequence[Outgoing]) -> None:
        """Send prepared messages, all or none. A repetition of the same ids is no error.

        What ends a run goes together with the run's ending; a second ending of a run is left out.
        """
        batch = with_first_endings(batch)
        while batch:
            endings = self._endings(batch)
            try:
                await self._sender.send([*batch, *endings])
                return
            except RefusedSendError as refusal:
                if refusal.code == DUPLICATE_ID:  # all of it is stored: a batch is taken whole or not at all
                    return
                if refusal.code not in WRONG_SEQUENCE:
                    raise BusError(f"the bus refused {batch[0].subject}: {refusal}") from None
            left, repeated = await self._without_ended(batch)
            if repeated:
                return
            if len(left) == len(batch):
                raise ConflictError(f"{batch[0].subject} or what goes with it is no longer possible")
            batch = left

    async def _check_said(self, messages: Sequence[Message]) -> None:
        """What is said once per run may have been said by somebody else before."""
        for message in messages:
            said = await self.last(type(message), message.entity) if message.once_per_run else message
            if said is None or said.model_dump_json() != message.model_dump_json():
                raise ConflictError(f"{message.subject} has been said before in other words")

    def _endings(self, batch: Sequence[Outgoing]) -> list[Outgoing]:
        return [self.prepare_snapshot(ending, 0, ending.event_id) for ending in endings_of(batch)]

    async def _without_ended(self, batch: Sequence[Outgoing]) -> tuple[list[Outgoing], bool]:
        """The batch less the terminal events of runs that have ended, and whether it was this batch that ended one."""
        left: list[Outgoing] = []
        repeated = False
        for outgoing in batch:
            wanted = ending_of(outgoing)
            written = None if wanted is None else await self.last(RunEnding, wanted.run_id)
            if wanted is None or written is None:
                left.append(outgoing)
            elif written.event_id == wanted.event_id:
                repeated = True
            else:
                logger.info("run %s has ended as %s: left out %s", wanted.run_id, written.kind, outgoing.subject)
        return left, repeated
