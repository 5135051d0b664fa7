"""Runs one statement in a thread, and ends it when nobody waits for its answer any more."""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

from ropewalk.monitor.adapters.embedded import EmbeddedEngine, refused
from ropewalk.monitor.adapters.slots import NUM_SLOTS

T = TypeVar("T")

TIMEOUT_EXCEEDED = 159
_GRACE_S = 5.0  # the engine looks at its own clock now and then only
_KILL_EVERY_S = 0.2  # a statement that has not begun yet is not there to be killed


class Runner:
    """Threads for as many statements as there are slots, and one more that ends them."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(NUM_SLOTS, thread_name_prefix="sql")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="sql-kill")  # never behind what it shall end

    async def run(self, work: Callable[[str], T], gone: asyncio.Future[None]) -> T:
        """`work(mark)` in a thread. Returns or raises only when the thread is free again.

        Raises what the work raises, ClientDisconnect when `gone` ends first, EngineError when it takes too long.
        """
        loop, mark = asyncio.get_running_loop(), uuid.uuid4().hex
        running = loop.run_in_executor(self._threads, work, mark)
        both: set[asyncio.Future[Any]] = {running, gone}
        patience_s = self._engine.query_seconds + _GRACE_S
        try:
            await asyncio.wait(both, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended_itself = running.done()
            await self._until_ended(running, mark)
        if ended_itself:
            return running.result()
        if gone.done():
            raise ClientDisconnect
        raise refused(TIMEOUT_EXCEEDED, f"ended after {patience_s:.0f} s (TIMEOUT_EXCEEDED)")

    async def _until_ended(self, running: asyncio.Future[T], mark: str) -> None:
        """Kill until it is dead: the first blow may come before the engine has begun."""
        while not running.done():
            await asyncio.get_running_loop().run_in_executor(self._killer, self._engine.kill, mark)
            await asyncio.wait({running}, timeout=_KILL_EVERY_S)
        running.exception()  # looked at: that a killed statement failed is no news
