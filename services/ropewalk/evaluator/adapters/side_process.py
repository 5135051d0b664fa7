"""The handle of the process that reads checkpoints: begun when there is one to read, and kept while more come."""

import asyncio
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from ropewalk.evaluator.adapters.dev_loss import IDLE_S, Bench, DevOrder, serve
from ropewalk.evaluator.domain.dev import DevLoss
from ropewalk.stages.child import run_child
from ropewalk.stages.errors import ChildDiedError


class SideProcess:
    """One order at a time. What goes wrong with a checkpoint ends the process; the next one gets a new one."""

    def __init__(self, niceness: int) -> None:
        self._niceness = niceness
        self._running: asyncio.Task[None] | None = None
        self._orders: Connection | None = None
        self._answers: asyncio.Queue[DevLoss | None] = asyncio.Queue()
        self._asked_at = 0.0

    async def read(self, order: DevOrder, within_s: float) -> DevLoss | None:
        """The loss of a checkpoint; None if it is gone. Raises TimeoutError, and what `run_child` does."""
        running, orders = await self.begun()
        await asyncio.to_thread(orders.send, order)
        answer = asyncio.ensure_future(self._answers.get())
        try:
            await asyncio.wait((answer, running), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if running.done():
                running.result()
                raise ChildDiedError("the process that reads checkpoints ended without an answer")
            raise TimeoutError(f"no answer within {within_s:.0f} s")
        finally:
            if not answer.done():
                answer.cancel()
                await self.close()

    async def close(self) -> None:
        """End the process, if it runs."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if self._orders is not None:
            self._orders.close()
        self._orders, self._answers = None, asyncio.Queue()

    async def begun(self) -> tuple[asyncio.Task[None], Connection]:
        """Begin it, if it does not run: it takes a while until it can read."""
        if time.monotonic() - self._asked_at > IDLE_S / 2 or (self._running is not None and self._running.done()):
            await self.close()  # it has ended, or may be about to
        self._asked_at = time.monotonic()
        if self._running is None or self._orders is None:
            theirs, self._orders = Pipe(duplex=False)
            bench = Bench(theirs, self._niceness)
            self._running = asyncio.ensure_future(run_child(serve, bench, self._answers.put))
        return self._running, self._orders
