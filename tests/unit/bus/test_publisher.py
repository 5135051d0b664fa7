"""The window publisher: bounded, complete when its block ends, cancelled as a whole."""

import asyncio

import pytest

from ropewalk.bus.publisher import WindowPublisher
from ropewalk.events.base import Message
from ropewalk.events.run import RunFailed


def fact(number: int) -> RunFailed:
    return RunFailed(run_id=f"r{number}", stage="s", message="m")


class SlowStore:
    """Stores when it is told to, and counts what is on its way."""

    def __init__(self) -> None:
        self.here = asyncio.Event()
        self.on_the_way = self.most = 0
        self.stored: dict[str, Message] = {}

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        self.on_the_way += 1
        self.most = max(self.most, self.on_the_way)
        await self.here.wait()
        await asyncio.sleep(0)
        self.on_the_way -= 1
        if message.run_id == "r-1":
            raise OSError("refused")
        self.stored[f"{cause_id}/{key}"] = message


async def publish_all(store: SlowStore, numbers: range, window: int) -> None:
    async with WindowPublisher(store, window) as publisher:
        for number in numbers:
            await publisher.publish(fact(number), cause_id="c", key=str(number))


async def test_no_more_are_on_their_way_than_the_window_and_all_are_stored_when_the_block_ends() -> None:
    store = SlowStore()
    publishing = asyncio.create_task(publish_all(store, range(20), 3))
    while store.on_the_way < 3:
        await asyncio.sleep(0)
    assert not publishing.done()
    store.here.set()
    await publishing
    assert store.most == 3
    assert sorted(store.stored) == sorted(f"c/{number}" for number in range(20))


async def test_a_refused_message_ends_the_block_with_its_error() -> None:
    store = SlowStore()
    store.here.set()
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await publish_all(store, range(-1, 5), 2)


async def test_a_cancelled_block_leaves_nothing_on_its_way() -> None:
    store = SlowStore()
    publishing = asyncio.create_task(publish_all(store, range(5), 2))
    while store.on_the_way < 2:
        await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    store.here.set()
    await asyncio.sleep(0)
    assert store.stored == {}
