"""Ending tasks that wait for the bus. `asyncio.wait_for` of Python 3.11 loses a cancellation that meets a result, and
nats-py turns some into timeouts: so a task is cancelled until it has ended, and a loop asks whether it should end."""

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


def pass_on_cancellation() -> None:
    """Raises CancelledError if the running task was cancelled and did not notice."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
