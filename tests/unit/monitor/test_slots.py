"""Who waits for whom at the SQL interface."""

import asyncio
import contextlib

import pytest

from ropewalk.monitor.adapters import slots
from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.embedded import EngineError
from ropewalk.monitor.adapters.slots import Slots

READER, WRITER = Account(user="ropewalk", password="r"), Account(user="ropewalk_writer", password="w", read_only=False)
OPERATOR = Account(user="ropewalk_operator", password="o", operator=True)
NAMELESS = Account(user="default", password="")
TOO_MANY = "TOO_MANY_SIMULTANEOUS_QUERIES"


async def hold(stack, of, account, *, times):
    for _ in range(times):
        await asyncio.wait_for(stack.enter_async_context(of.taken(account)), 5)


async def all_have_asked():
    """A few turns of the loop: who waits now waits for a slot."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(slots, "_PATIENCE_S", 0.05)


@pytest.fixture
def talkative(monkeypatch):
    monkeypatch.setattr(slots, "_WORTH_SAYING_S", 0.0)


@pytest.mark.parametrize(("account", "most"), [(READER, 3), (WRITER, 3), (OPERATOR, 3), (NAMELESS, 2)])
async def test_no_user_has_all_slots_and_the_operator_always_gets_one(impatient, account, most):
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, account, times=most)
        with pytest.raises(EngineError, match=TOO_MANY):
            await hold(stack, found, account, times=1)
        await hold(stack, found, WRITER if account is READER else READER, times=1)
        if account is not OPERATOR:
            await hold(stack, found, OPERATOR, times=1)


async def test_all_others_together_leave_the_operator_a_slot(impatient):
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, READER, times=2)
        await hold(stack, found, WRITER, times=1)
        await hold(stack, found, NAMELESS, times=1)
        for account in (READER, WRITER, NAMELESS):
            with pytest.raises(EngineError, match=TOO_MANY):
                await hold(stack, found, account, times=1)
        await hold(stack, found, OPERATOR, times=1)


async def test_a_queue_of_one_user_keeps_no_other_user_waiting():
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, READER, times=3)
        queue = [asyncio.create_task(hold(stack, found, READER, times=1)) for _ in range(6)]
        await all_have_asked()
        await hold(stack, found, WRITER, times=1)
        await hold(stack, found, OPERATOR, times=1)
        for waiting in queue:
            waiting.cancel()
        await asyncio.gather(*queue, return_exceptions=True)
    assert found.reason() == ""


async def test_who_waits_in_vain_hears_how_long_the_oldest_runs_and_takes_nothing_away(impatient):
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, READER, times=3)
        await hold(stack, found, WRITER, times=1)
        for account in (NAMELESS, READER, WRITER):
            with pytest.raises(EngineError, match="the oldest query has run for 0 s: try again"):
                await hold(stack, found, account, times=1)
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, NAMELESS, times=2)
        await hold(stack, found, READER, times=2)


async def test_a_full_interface_is_a_reason_that_names_who_fills_it(talkative):
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, READER, times=3)
        assert found.reason() == ""
        waiting = asyncio.create_task(hold(stack, found, READER, times=1))
        await all_have_asked()
        assert found.reason() == (
            "its SQL interface is full: 3 queries run (3 of 'ropewalk'), the oldest for 0 s, 1 wait"
        )
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await hold(stack, found, WRITER, times=1)
        assert "4 queries run (3 of 'ropewalk', 1 of 'ropewalk_writer')" in found.reason()
    assert found.reason() == ""


async def test_full_for_a_moment_is_no_news():
    found = Slots()
    async with contextlib.AsyncExitStack() as stack:
        await hold(stack, found, READER, times=3)
        await hold(stack, found, WRITER, times=1)
        assert found.reason() == ""
