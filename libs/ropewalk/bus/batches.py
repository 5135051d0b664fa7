"""Batches of one durable consumer for a sink that stores many messages at once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg

from ropewalk.bus.client import GuardedClient
from ropewalk.bus.codec import Stored, decoded
from ropewalk.bus.dead_letters import is_for
from ropewalk.bus.errors import MalformedMessageError
from ropewalk.bus.pull import StandingPull
from ropewalk.bus.reading import delivered
from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec


@dataclass(frozen=True)
class Batch:
    """Messages of a sink's consumer. Each is acknowledged by itself, so it does not matter where a batch ends."""

    items: list[Stored[Message]]
    malformed: list[tuple[Msg, str]]
    ack: Callable[[], Awaitable[None]]
    keep: Callable[[], Awaitable[None]]  # tells the server that they are worked on


async def batches(
    connection: GuardedClient, spec: ConsumerSpec, *, max_messages: int, max_wait_s: float
) -> AsyncGenerator[Batch, None]:
    """Yields a batch when it is full, or `max_wait_s` after its first message. The next one is fetched meanwhile."""
    arrived: asyncio.Queue[Msg] = asyncio.Queue()
    # One batch is stored while the next one arrives.
    pull = StandingPull(connection, spec, 2 * max_messages, arrived.put)
    await pull.start()
    try:
        while True:
            page = await _page(arrived, max_messages, max_wait_s)
            yield _batch(page, spec.durable, pull)
    finally:
        await pull.stop()
        while not arrived.empty():
            with contextlib.suppress(nats.errors.Error):
                await arrived.get_nowait().nak()


async def _page(arrived: asyncio.Queue[Msg], max_messages: int, max_wait_s: float) -> list[Msg]:
    page = [await arrived.get()]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max_wait_s):  # from the first message on: it must not wait for company for ever
            while len(page) < max_messages:
                page.append(await arrived.get())
    return page


def _batch(page: list[Msg], durable: str, pull: StandingPull) -> Batch:
    items: list[Stored[Message]] = []
    malformed: list[tuple[Msg, str]] = []
    for raw in page:
        if not is_for(raw.headers, durable):  # acknowledged with the others, and not stored again
            continue
        try:
            items.append(decoded(delivered(raw)))
        except MalformedMessageError as error:
            malformed.append((raw, str(error)))

    async def ack() -> None:
        for raw in page:
            await raw.ack()
        await pull.done(len(page))

    async def keep() -> None:
        for raw in page:
            with contextlib.suppress(nats.errors.Error):
                await raw.in_progress()

    return Batch(items=items, malformed=malformed, ack=ack, keep=keep)
