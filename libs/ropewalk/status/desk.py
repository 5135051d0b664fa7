"""Answers on `ctl.status`, as a service does that has the rights to look."""

import asyncio
import time

from ropewalk.bus.wire import Address
from ropewalk.status.asking import Status, looked_at

_FRESH_S = 1.0


class StatusDesk:
    """Looks at most once a second, however many ask."""

    def __init__(self, bus: Address, services: tuple[str, ...]) -> None:
        self._bus = bus
        self._services = services
        self._turn = asyncio.Lock()
        self._last: Status | None = None

    async def answer(self) -> Status:
        """How the deployment is, and what is wrong with it."""
        async with self._turn:
            if self._last is None or time.time() - self._last.seen.now > _FRESH_S:
                # In a thread: this service is asked for its own ping meanwhile.
                self._last = await asyncio.to_thread(looked_at, self._bus, self._services)
            return self._last
