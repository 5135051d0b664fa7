"""Bringing models back: side by side, once for all who ask, ever more rarely when it does not help."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from parts.memory_inference import MemoryInference, reconciled

from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.domain.routes import Routes
from ropewalk.serving.errors import LoadFailedError
from ropewalk.serving.ports import ModelToLoad


class SlowInference(MemoryInference):
    """Loads of `slow` targets wait for `go`; those of `broken` ones fail. Every load is noted."""

    def __init__(self, *, slow: str = "", broken: str = "") -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.loads: list[str] = []
        self._slow, self._broken_target = slow, broken

    async def load(self, entry: ModelToLoad) -> None:
        self.loads.append(entry.target)
        if entry.target == self._slow:
            await self.go.wait()
        if entry.target == self._broken_target:
            raise LoadFailedError("no memory")
        await super().load(entry)


@pytest.fixture
def make_fleet(objects: Any, make_version: Callable[..., Any]) -> Callable[[SlowInference], Fleet]:
    def make(inference: SlowInference) -> Fleet:
        fleet = Fleet({"memory": inference}, objects)
        fleet.routes = Routes({("demo", number): make_version(number) for number in (1, 2)})
        return fleet

    return make


async def until_loaded(inference: MemoryInference, target: str) -> None:
    async with asyncio.timeout(5):
        while target not in await inference.loaded():
            await asyncio.sleep(0.005)


async def test_a_slow_load_keeps_no_other_version_waiting(make_fleet: Any) -> None:
    inference = SlowInference(slow="demo-v1")
    watching = asyncio.create_task(make_fleet(inference).watch())
    await until_loaded(inference, "demo-v2")
    assert await inference.loaded() == {"demo-v2"}
    inference.go.set()
    await until_loaded(inference, "demo-v1")
    watching.cancel()


async def test_whoever_wants_what_is_being_loaded_waits_for_the_same_load(make_fleet: Any, make_version: Any) -> None:
    inference = SlowInference(slow="demo-v1")
    fleet = make_fleet(inference)
    wanting = [asyncio.create_task(fleet.load(make_version(1))) for _ in range(5)]
    wanting.append(asyncio.create_task(reconciled(fleet)))
    await until_loaded(inference, "demo-v2")
    wanting[0].cancel()  # the first to ask goes away; the others still get it
    inference.go.set()
    await asyncio.gather(*wanting[1:])
    assert sorted(inference.loads) == ["demo-v1", "demo-v2"]


async def test_what_cannot_be_loaded_is_tried_ever_more_rarely(make_fleet: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("ropewalk.serving.adapters.fleet._WATCH_S", 0.01)
    inference = SlowInference(broken="demo-v1")
    watching = asyncio.create_task(make_fleet(inference).watch())
    async with asyncio.timeout(5):
        while inference.loads.count("demo-v1") < 5:
            await asyncio.sleep(0.005)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        while inference.loads.count("demo-v1") < 6:
            await asyncio.sleep(0.005)
    assert asyncio.get_running_loop().time() - began > 0.2  # 0.01 * 2 ** 5, less what has passed
    assert inference.loads.count("demo-v2") == 1
    watching.cancel()
