"""How a command reaches the stack."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ropewalk.admin.access import OPERATOR
from ropewalk.bus.bulk import address_of
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import Wire
from ropewalk.cli.options import layout
from ropewalk.cli.settings import named_bus
from ropewalk.client.settings import ClientSettings, find_settings
from ropewalk.local.stack import running_state
from ropewalk.storage.objects import ObjectStore
from ropewalk.storage.probing import free_bytes

if TYPE_CHECKING:
    from ropewalk.client import Client

Result = TypeVar("Result")


def settings_of(state_dir: Path | None, user: str = OPERATOR) -> ClientSettings:
    """Where the stack is, for one of its users. Raises StackNotRunningError for an embedded stack that is down."""
    place = layout(state_dir)
    # A stale stack.json would make the client wait for a broker that is gone, so the supervisor's lock is asked first.
    if named_bus() is None:  # no address given: it must be the embedded stack
        running_state(place)
    return find_settings(place.state_dir, user)


def store_of(state_dir: Path | None) -> ObjectStore:
    """The object store, for which no service of the stack needs to run."""
    return find_settings(layout(state_dir).state_dir).store.connect()


def room_of(state_dir: Path | None) -> int | None:
    """Bytes that are left on the disk of the object store; None where that is a bucket."""
    return free_bytes(find_settings(layout(state_dir).state_dir).store)


def bus_of(state_dir: Path | None, user: str = OPERATOR) -> NatsSettings:
    """The bus, which answers: NATS's client would wait for ever for one that is away. Raises WireError."""
    nats = settings_of(state_dir, user).nats
    with Wire(address_of(nats)):
        return nats


def call(action: Callable[["Client"], Awaitable[Result]], settings: ClientSettings) -> Result:
    """Connect, do one thing, disconnect."""
    from ropewalk.client import Client  # imports NATS's client, for which commands that only read the log do not wait

    async def session() -> Result:
        async with await Client.connect(settings) as client:
            return await action(client)

    return asyncio.run(session())
