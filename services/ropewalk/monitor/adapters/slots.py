"""Who may have the engine now: a few statements at a time, and never all of them from people without a name."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ropewalk.monitor.adapters.embedded import EngineError

TOO_MANY_QUERIES = 202
NUM_SLOTS = 4
_ANONYMOUS_SLOTS = 2
_PATIENCE_S = 20.0
_WORTH_SAYING_S = 5.0  # full for a moment is no news


class Slots:
    """Slots are taken in the order of asking. Use it in one event loop; `reason` may be asked from any thread."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(NUM_SLOTS)
        self._anonymous = asyncio.Semaphore(_ANONYMOUS_SLOTS)
        self._begun: dict[object, float] = {}  # one entry per taken slot
        self._num_waiting = 0

    @asynccontextmanager
    async def taken(self, *, anonymous: bool) -> AsyncIterator[None]:
        """Hold a slot. Raises EngineError when none has become free for a while."""
        token = object()
        await self._wait(anonymous)
        self._begun[token] = time.monotonic()
        try:
            yield
        finally:
            del self._begun[token]
            self._release(anonymous)

    def reason(self) -> str:
        """Why others have to wait, in a sentence; empty while they need not."""
        oldest_s = self._oldest_s()
        if len(self._begun) < NUM_SLOTS or oldest_s < _WORTH_SAYING_S:
            return ""
        return (
            f"its SQL interface is full: {NUM_SLOTS} of {NUM_SLOTS} queries run, the oldest for {oldest_s:.0f} s, "
            f"{self._num_waiting} wait"
        )

    async def _wait(self, anonymous: bool) -> None:
        self._num_waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._acquire(anonymous)
        except TimeoutError:
            raise EngineError(
                TOO_MANY_QUERIES,
                f"Code: {TOO_MANY_QUERIES}. DB::Exception: no slot for this query became free in {_PATIENCE_S:.0f} s, "
                f"the oldest query has run for {self._oldest_s():.0f} s: try again (TOO_MANY_SIMULTANEOUS_QUERIES)",
            ) from None
        finally:
            self._num_waiting -= 1

    async def _acquire(self, anonymous: bool) -> None:
        if not anonymous:
            await self._all.acquire()
            return
        await self._anonymous.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            self._anonymous.release()
            raise

    def _release(self, anonymous: bool) -> None:
        self._all.release()
        if anonymous:
            self._anonymous.release()

    def _oldest_s(self) -> float:
        return time.monotonic() - min(self._begun.values(), default=time.monotonic())
