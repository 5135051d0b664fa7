"""Who waits for whom at the SQL interface."""

import asyncio
import contextlib

import pytest

from ropewalk.monitor.adapters import slots
from ropewalk.monitor.adapters.embedded import EngineError
from ropewalk.monitor.adapters.slots import NUM_SLOTS, Slots


async def hold(stack, of, *, anonymous, times):
    for _ in range(times):
        await asyncio.wait_for(stack.enter_async_context(of.taken(anonymous=anonymous)), 5)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(slots, "_PATIENCE_S", 0.05)


async def test_people_without_a_name_never_take_the_last_slot(impatient):
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, anonymous=True, times=2)
        with pytest.raises(EngineError, match="TOO_MANY_SIMULTANEOUS_QUERIES"):
            await hold(stack, found, anonymous=True, times=1)
        await hold(stack, found, anonymous=False, times=NUM_SLOTS - 2)


async def test_who_waits_in_vain_hears_how_long_the_oldest_runs_and_takes_nothing_away(impatient):
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, anonymous=False, times=NUM_SLOTS)
        for anonymous in (True, False, True):
            with pytest.raises(EngineError, match="the oldest query has run for 0 s: try again"):
                await hold(stack, found, anonymous=anonymous, times=1)
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, anonymous=True, times=2)
        await hold(stack, found, anonymous=False, times=NUM_SLOTS - 2)


async def test_a_full_interface_is_a_reason_not_to_be_ready_and_an_empty_one_is_not(monkeypatch):
    monkeypatch.setattr(slots, "_WORTH_SAYING_S", 0.0)
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, anonymous=False, times=NUM_SLOTS - 1)
        assert found.reason() == ""
        await hold(stack, found, anonymous=False, times=1)
        assert found.reason() == "its SQL interface is full: 4 of 4 queries run, the oldest for 0 s, 0 wait"
    assert found.reason() == ""


async def test_full_for_a_moment_is_no_news():
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, anonymous=False, times=NUM_SLOTS)
        assert found.reason() == ""
