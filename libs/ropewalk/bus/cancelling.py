"""A cancellation that must not get lost.

`asyncio.wait_for` of Python 3.11 drops one that meets a result, and nats-py turns some into timeouts: so endless loops
ask whether they should have ended, and waiting with a limit uses `asyncio.timeout`.
"""

import asyncio


def pass_on_cancellation() -> None:
    """Raises CancelledError if the running task was cancelled and did not notice."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Whether the event came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass_on_cancellation()
    return event.is_set()
