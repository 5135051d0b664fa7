"""A bus on a real server, and waiting with a deadline."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ropewalk.bus.bus import Bus


@pytest.fixture
async def bus(nats_server) -> AsyncIterator[Bus]:
    """A connected bus."""
    bus = await Bus.connect(nats_server.settings, "test")
    yield bus
    await bus.close()


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Awaitable[bool]], float], Awaitable[None]]:
    """Waits until a condition holds."""

    async def wait(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not await condition():
            assert time.monotonic() < deadline, "it never came true"
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def address_of() -> Callable[[Any], dict[str, str]]:
    """The environment in which a service finds a server."""

    def environment(server: Any) -> dict[str, str]:
        given = server.settings.model_dump(exclude_unset=True)
        return {f"ROPEWALK_NATS_{name.upper()}": str(value) for name, value in given.items()}

    return environment
