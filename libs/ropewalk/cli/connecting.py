"""How a command reaches the stack. Importing this takes half a second: the asynchronous client comes with it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ropewalk.admin.access import OPERATOR
from ropewalk.bus.settings import NatsSettings
from ropewalk.cli.options import layout
from ropewalk.client import Client, ClientSettings, find_settings
from ropewalk.local.stack import running_state

Result = TypeVar("Result")


def settings_of(state_dir: Path | None, user: str = OPERATOR) -> ClientSettings:
    """Where the stack is, for one of its users. Raises StackNotRunningError for an embedded stack that is down."""
    place = layout(state_dir)
    # A stale stack.json would make the client wait for a broker that is gone, so the supervisor's lock is asked first.
    if "url" not in NatsSettings().model_fields_set:  # no address given: it must be the embedded stack
        running_state(place)
    return find_settings(place.state_dir, user)


def with_client(action: Callable[[Client], Awaitable[Result]], state_dir: Path | None, user: str = OPERATOR) -> Result:
    """Run one asynchronous action against the stack as one of its users."""
    return call(action, settings_of(state_dir, user))


def call(action: Callable[[Client], Awaitable[Result]], settings: ClientSettings) -> Result:
    """Connect, do one thing, disconnect."""

    async def session() -> Result:
        async with await Client.connect(settings) as client:
            return await action(client)

    return asyncio.run(session())
