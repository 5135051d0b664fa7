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
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RawStreamMsg

from ropewalk.events.base import Message
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.runtime.bus import Bus
from ropewalk.runtime.codec import Stored

Found = TypeVar("Found")
_LOOK_S = 0.2
_MARKER, _OPERATION = "Nats-Marker-Reason", "KV-Operation"
_AWAY = (nats.errors.Error, nats.js.errors.ServiceUnavailableError, nats.js.errors.ServerError, TimeoutError)


class Watch:
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
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, found: Callable[[list[Stored[Message]]], Found | None], patience_s: float) -> Found | None:
        """What `found` makes of the timeline, as soon as it is not None; None after `patience_s`."""
        deadline = asyncio.get_running_loop().time() + patience_s
        seen = -1
        while True:
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
            await asyncio.sleep(_LOOK_S)


async def server_time(connection: Client) -> datetime:
    """The clock that stamps the log; waits for a broker that is away."""
    while True:
        try:
            reply = await connection.request("$JS.API.STREAM.INFO.CONTROL", b"", timeout=2)
            return datetime.fromisoformat(_microseconds(json.loads(reply.data)["ts"])).astimezone(UTC)
        except _AWAY:
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
            await asyncio.sleep(_LOOK_S)
            continue
        sequence = (found.seq or 0) + 1
        if last is None or sequence - 1 <= last:
            yield found


async def lease_gone(bus: Bus, stage: str, run_id: str) -> datetime:
    """When the lease of a stage next expires or is given back. Never returns if it does not."""
    context = bus.connection.jetstream()
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.NEW, inactive_threshold=60, mem_storage=True
    )
    subscription = await context.pull_subscribe(f"$KV.lease.{stage}.{run_id}", stream=LEASE_STREAM, config=config)
    try:
        while True:
            with contextlib.suppress(nats.errors.TimeoutError, TimeoutError):
                for raw in await subscription.fetch(1, timeout=1):
                    headers = raw.headers or {}
                    if _MARKER in headers or _OPERATION in headers:
                        return raw.metadata.timestamp.astimezone(UTC)
            _pass_on_cancellation()
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()


def _pass_on_cancellation() -> None:
    """nats-py's fetch turns a cancellation into a timeout."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _microseconds(text: str) -> str:
    """RFC 3339 with nanoseconds as Python reads it."""
    whole, point, fraction = text.rstrip("Z").partition(".")
    return f"{whole}{point}{fraction[:6]}+00:00"
