"""Work beside a drill that waits for the bus, and its end: a cancellation can get lost, so it is said until heard."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeVar

Found = TypeVar("Found")
_AGAIN_S = 0.2


class Background(ABC):
    """`work` runs while inside. Whether it has failed is for whoever needs what it does to ask of `task`."""

    task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.work())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self.task)

    @abstractmethod
    async def work(self) -> None:
        """Goes on until it is cancelled."""


async def until(look: Callable[[], Found], patience_s: float, pause_s: float) -> Found:
    """The first answer of `look` that counts as true, or its last one when the patience is over."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while not (answer := look()) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(pause_s)
    return answer


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end. What it raised is nobody's concern any more."""
    while not task.done():
        task.cancel()
        # nats-py can turn a cancellation into a timeout, and then the task goes on: so it is cancelled again.
        await asyncio.wait([task], timeout=_AGAIN_S)
    if not task.cancelled():
        # Asked for, or asyncio would print that nobody did.
        task.exception()
