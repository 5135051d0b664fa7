"""Watching the log: a timeline that grows, the server's clock, the moment a lease is gone."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from ropewalk.bus.bus import Bus
from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.bus.codec import RawMessage, Stored
from ropewalk.drills.tasks import Background, until
from ropewalk.events.base import Message
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.stages.leases import MARKER

Found = TypeVar("Found")
_LOOK_S = 0.2
_OPERATION = "KV-Operation"
_TIMEOUT_S = 2.0


class LogWatch(Background):
    """Everything on a subject, from the beginning of the log and as it comes. Use it as a context manager."""

    def __init__(self, bus: Bus, subject: str) -> None:
        self._bus = bus
        self._subject = subject
        self.timeline: list[Stored[Message]] = []

    async def until(self, found: Callable[[list[Stored[Message]]], Found], patience_s: float) -> Found:
        """What `found` makes of the timeline, as soon as it counts as true, or when the patience is over."""

        def look() -> Found:
            if self.task.done():
                self.task.result()  # raises what ended it
            return found(self.timeline)

        return await until(look, patience_s, _LOOK_S)

    async def work(self) -> None:
        """Follow the subject."""
        async for stored in self._bus.follow(self._subject):
            self.timeline.append(stored)


async def surely(ask: Callable[[], Awaitable[Found]]) -> Found:
    """The answer of a broker that may be away: it is asked until it answers."""
    while True:
        try:
            answer = await ask()
        except (nats.errors.Error, TimeoutError):
            pass_on_cancellation()
            await asyncio.sleep(_LOOK_S)
            continue
        pass_on_cancellation()
        return answer


async def timeline_of(bus: Bus, subject: str) -> list[Stored[Message]]:
    """Everything on a subject now."""
    return [stored async for stored in bus.read(subject)]


async def server_time(connection: Client) -> datetime:
    """The clock that stamps the log."""
    reply = await surely(lambda: connection.request("$JS.API.STREAM.INFO.CONTROL", b"", timeout=_TIMEOUT_S))
    return datetime.fromisoformat(json.loads(reply.data)["ts"]).astimezone(UTC)


async def lease_gone(bus: Bus, stage: str, run_id: str, epoch: int) -> datetime:
    """When the lease of an epoch expired or was given back, as the lease's key says. Never returns if it does not.

    A key holds its last revision only: if the next holder was quicker than a look, its acquisition is the sign.
    """
    while True:
        current = await bus.newest(f"$KV.lease.{stage}.{run_id}", stream=LEASE_STREAM)
        if current is not None:
            ended = MARKER in current.headers or _OPERATION in current.headers
            if ended or _epoch_of(current) > epoch:
                return current.time.astimezone(UTC)
        await asyncio.sleep(_LOOK_S)


def _epoch_of(current: RawMessage) -> int:
    """A holder writes its epoch with every renewal; what it writes first has the epoch as its sequence."""
    return int(json.loads(current.body or b"{}").get("epoch", current.sequence))
