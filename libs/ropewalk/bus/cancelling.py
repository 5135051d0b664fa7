"""A cancellation that must not get lost.

`asyncio.wait_for` of Python 3.11 drops a cancellation that comes together with a result, and nats-py turns some into
timeouts. So endless loops ask whether they were cancelled, and waiting with a limit uses `asyncio.timeout`.
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
