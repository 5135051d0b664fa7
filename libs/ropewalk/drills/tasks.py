"""Ending tasks that wait for the bus: a cancellation can get lost, so a task is cancelled until it has ended."""

import asyncio
from typing import Any

_AGAIN_S = 0.2


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end. What it raised is nobody's concern any more."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
    if not task.cancelled():
        task.exception()
