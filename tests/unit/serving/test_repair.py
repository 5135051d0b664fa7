"""One repair per model, whoever waits, and ever more rarely."""

import asyncio
from collections import defaultdict

import pytest

from ropewalk.serving.adapters import triton_repair
from ropewalk.serving.adapters.triton_repair import Repairs, _Past
from ropewalk.serving.errors import LoadFailedError


class Control:
    """The models of a server in memory. A load waits until `go` is set and fails `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.num_loads: defaultdict[str, int] = defaultdict(int)
        self.models = {"demo-v1"}
        self.calls: list[str] = []
        self.failures = failures
        self.go = asyncio.Event()
        self.go.set()

    async def ready(self) -> frozenset[str]:
        return frozenset(self.models)

    async def unload(self, target: str) -> None:
        self.calls.append("unload")
        self.models.discard(target)

    async def load(self, target: str) -> None:
        self.calls.append("load")
        await self.go.wait()
        if self.failures:
            self.failures -= 1
            raise LoadFailedError("no memory")
        self.models.add(target)
        self.num_loads[target] += 1


@pytest.fixture
def repaired(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    monkeypatch.setattr(triton_repair, "_PAUSE_S", 0.0)
    return asyncio.Queue()


def repairs_of(control: Control, repaired: asyncio.Queue[str]) -> Repairs:
    async def on_repaired(target: str, cause: str, seconds: float) -> None:
        await repaired.put(cause)

    return Repairs(control, on_repaired)  # type: ignore[arg-type]


async def at_rest(repairs: Repairs) -> None:
    async with asyncio.timeout(5):
        while repairs.targets:
            await asyncio.sleep(0.005)


async def test_twenty_four_streams_that_notice_make_one_repair(repaired: asyncio.Queue[str]) -> None:
    control = Control()
    control.go.clear()
    repairs = repairs_of(control, repaired)
    for number in range(24):
        repairs.needed("demo-v1", f"stream {number}", 0)
        await asyncio.sleep(0)
    control.go.set()
    await at_rest(repairs)
    for number in range(24):  # and those that notice when it is over already
        repairs.needed("demo-v1", f"late {number}", 0)
    await at_rest(repairs)
    assert control.calls == ["unload", "load"]
    assert (repaired.qsize(), await repaired.get()) == (1, "stream 0")


async def test_a_slow_load_is_waited_for_and_never_undone(repaired: asyncio.Queue[str]) -> None:
    control = Control()
    control.go.clear()
    repairs = repairs_of(control, repaired)
    repairs.needed("demo-v1", "dead", 0)
    async with asyncio.timeout(5):
        while control.calls != ["unload", "load"]:
            await asyncio.sleep(0.005)
    for _ in range(19):
        repairs.needed("demo-v1", "still dead", 0)
    assert repairs.targets == {"demo-v1"}
    control.go.set()
    await at_rest(repairs)
    assert control.calls == ["unload", "load"]


async def test_a_repair_that_fails_is_not_reported_and_the_next_one_waits(repaired: asyncio.Queue[str]) -> None:
    control = Control(failures=1)
    repairs = repairs_of(control, repaired)
    repairs.needed("demo-v1", "dead", 0)
    await at_rest(repairs)
    assert (control.calls, repaired.qsize()) == (["unload", "load"], 0)
    repairs.needed("demo-v1", "dead again", 0)
    await asyncio.sleep(0.05)
    assert (control.calls, repairs.targets) == (["unload", "load"], {"demo-v1"})
    await repairs.close()


async def test_a_model_that_is_to_go_is_not_brought_back(repaired: asyncio.Queue[str]) -> None:
    control = Control()
    control.go.clear()
    repairs = repairs_of(control, repaired)
    repairs.needed("demo-v1", "dead", 0)
    await asyncio.sleep(0.02)
    repairs.forget("demo-v1")
    control.go.set()
    await at_rest(repairs)
    assert control.models == set()


def test_the_pauses_grow_to_a_minute_and_a_model_that_lived_starts_anew() -> None:
    past, pauses = _Past(), []
    for _ in range(9):
        pauses.append(past.wait_s(1000.0))
        past.number, past.ended_at = past.number + 1, 1000.0
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert past.wait_s(2000.0) == 0
