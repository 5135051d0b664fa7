"""The client for programs without an event loop: one call, one connection."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import JsonValue

from ropewalk.bus.codec import Stored
from ropewalk.client.client import Client
from ropewalk.client.endpoints import Table
from ropewalk.client.settings import ClientSettings
from ropewalk.events.base import Message
from ropewalk.projections.runs import RunSummary
from ropewalk.recipes.recipe import Recipe

Result = TypeVar("Result")


def submit(
    recipe: Recipe | dict[str, JsonValue], run_id: str | None = None, settings: ClientSettings | None = None
) -> str:
    """See Client.submit."""
    return call(lambda client: client.submit(recipe, run_id), settings)


def wait(run_id: str, settings: ClientSettings | None = None) -> list[Stored[Message]]:
    """Block until a run is over; returns its facts."""

    async def collect(client: Client) -> list[Stored[Message]]:
        return [stored async for stored in client.follow(run_id)]

    return call(collect, settings)


def runs(settings: ClientSettings | None = None) -> list[RunSummary]:
    """See Client.runs."""
    return call(lambda client: client.runs(), settings)


def query(sql: str, settings: ClientSettings | None = None) -> Table:
    """See Client.query."""
    return call(lambda client: client.query(sql), settings)


def call(action: Callable[[Client], Awaitable[Result]], settings: ClientSettings | None = None) -> Result:
    """Connect, do one thing, disconnect."""

    async def session() -> Result:
        async with await Client.connect(settings) as client:
            return await action(client)

    return asyncio.run(session())
