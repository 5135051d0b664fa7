"""Publishes many messages with a bounded number on their way: for packed telemetry and request logs.

Each message is repeated under its own id until the server has stored it, so an outage delays and loses nothing; the
client library's own asynchronous publish leaves futures that never end when a server is killed. Messages of one
window may be stored in another order than they were given.
"""

import asyncio
from types import TracebackType
from typing import Protocol, Self

from ropewalk.events.base import Message

WINDOW = 4  # more only helps where servers replicate: one server syncs every message by itself


class Publisher(Protocol):
    """The part of the bus that this needs."""

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        """Returns when the message is stored, however long that takes."""
        ...


class WindowPublisher:
    """A context manager: when its block has ended well, everything is stored. An error or cancellation ends all."""

    def __init__(self, publisher: Publisher, window: int = WINDOW) -> None:
        self._publisher = publisher
        self._room = asyncio.Semaphore(window)
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        """Send a message; waits only while the window is full. A repetition needs a cause, which gives its id."""
        await self._room.acquire()  # released by the task: whoever publishes faster than the server stores waits here
        self._tasks.create_task(self._publish(message, cause_id, key))

    async def _publish(self, message: Message, cause_id: str, key: str) -> None:
        try:
            await self._publisher.publish(message, cause_id=cause_id, key=key)
        finally:
            self._room.release()
