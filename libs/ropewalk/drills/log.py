"""Watching the log: a timeline that grows, raw messages, the server's clock, the moment a lease is gone."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import RawStreamMsg

from ropewalk.bus.bus import Bus
from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.bus.codec import Stored
from ropewalk.drills.tasks import end
from ropewalk.events.base import Message
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.stages.leases import MARKER

Found = TypeVar("Found")
_LOOK_S = 0.2
_OPERATION = "KV-Operation"
_AWAY = (nats.errors.Error, nats.js.errors.ServiceUnavailableError, nats.js.errors.ServerError, TimeoutError)


class LogWatch:
    """Everything on a subject, from the beginning of the log and as it comes. Use it as a context manager."""

    def __init__(self, bus: Bus, subject: str) -> None:
        self._bus = bus
        self._subject = subject
        self._task: asyncio.Task[None] | None = None
        self.timeline: list[Stored[Message]] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        await end(self._task)

    async def until(self, found: Callable[[list[Stored[Message]]], Found | None], patience_s: float) -> Found | None:
        """What `found` makes of the timeline, as soon as it is not None; None after `patience_s`."""
        deadline = asyncio.get_running_loop().time() + patience_s
        seen = -1
        while True:
            if self._task is not None and self._task.done():
                self._task.result()  # raises what ended it
            if len(self.timeline) != seen:
                seen = len(self.timeline)
                if (answer := found(self.timeline)) is not None:
                    return answer
            if asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(_LOOK_S)

    async def _follow(self) -> None:
        async for stored in self._bus.follow(self._subject):
            self.timeline.append(stored)


async def timeline_of(bus: Bus, subject: str) -> list[Stored[Message]]:
    """Everything on a subject now."""
    return [stored async for stored in bus.read(subject)]


async def last_sequence(bus: Bus, stream: str = "CONTROL") -> int:
    """The end of a stream; waits for a broker that is away."""
    while True:
        try:
            return int((await bus.connection.jetstream().stream_info(stream)).state.last_seq)
        except _AWAY:
            pass_on_cancellation()
            await asyncio.sleep(_LOOK_S)


async def server_time(connection: Client) -> datetime:
    """The clock that stamps the log; waits for a broker that is away."""
    while True:
        try:
            reply = await connection.request("$JS.API.STREAM.INFO.CONTROL", b"", timeout=2)
            return datetime.fromisoformat(_microseconds(json.loads(reply.data)["ts"])).astimezone(UTC)
        except _AWAY:
            pass_on_cancellation()
            await asyncio.sleep(_LOOK_S)


async def raw_messages(
    bus: Bus, stream: str, subject: str, first: int = 1, last: int | None = None
) -> AsyncIterator[RawStreamMsg]:
    """Messages as they lie in a stream, malformed ones and headers included."""
    context = bus.connection.jetstream()
    sequence = first
    while last is None or sequence <= last:
        try:
            found = await context.get_msg(stream, seq=sequence, subject=subject, next=True)
        except nats.js.errors.NotFoundError:
            return
        except _AWAY:
            pass_on_cancellation()
            await asyncio.sleep(_LOOK_S)
            continue
        pass_on_cancellation()
        sequence = (found.seq or 0) + 1
        if last is None or sequence - 1 <= last:
            yield found


async def lease_gone(bus: Bus, stage: str, run_id: str, epoch: int) -> datetime:
    """When the lease of an epoch expired or was given back, as the lease's key says. Never returns if it does not.

    A key holds its last revision only: if the next holder was quicker than a look, its acquisition is the sign.
    """
    context = bus.connection.jetstream()
    while True:
        with contextlib.suppress(*_AWAY, nats.js.errors.NotFoundError):
            current = await context.get_last_msg(LEASE_STREAM, f"$KV.lease.{stage}.{run_id}")
            headers = current.headers or {}
            ended = MARKER in headers or _OPERATION in headers
            if current.time and (ended or _epoch_of(current) > epoch):
                return current.time.astimezone(UTC)
        pass_on_cancellation()
        await asyncio.sleep(_LOOK_S)


def _epoch_of(current: RawStreamMsg) -> int:
    """A holder writes its epoch with every renewal; what it writes first has the epoch as its sequence."""
    return int(json.loads(current.data or b"{}").get("epoch", current.seq or 0))


def _microseconds(text: str) -> str:
    """RFC 3339 with nanoseconds as Python reads it."""
    whole, point, fraction = text.rstrip("Z").partition(".")
    return f"{whole}{point}{fraction[:6]}+00:00"
