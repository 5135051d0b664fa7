"""Ending tasks that would rather go on."""

import asyncio
import contextlib

import pytest

from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.drills.tasks import end


async def test_a_task_that_swallows_its_first_cancellation_is_ended() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        swallowed += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert swallowed == 1


async def test_a_task_that_failed_is_ended_without_its_error() -> None:
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end(task)
    assert task.done()


async def test_a_cancellation_that_became_a_timeout_is_passed_on() -> None:
    async def loops() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            pass_on_cancellation()

    task = asyncio.create_task(loops())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
