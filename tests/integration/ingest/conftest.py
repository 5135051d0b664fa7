"""A bus on the server of the module: every test has runs of its own."""

from collections.abc import AsyncIterator

import pytest

from ropewalk.bus.bus import Bus


@pytest.fixture
async def bus(shared_nats) -> AsyncIterator[Bus]:
    """A connected bus."""
    connected = await Bus.connect(shared_nats.settings, "test")
    yield connected
    await connected.close()
