"""A disk that fills under the broker: named at once with what waits, and nothing is lost when there is room again."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.wire import Address
from ropewalk.events.run import StageInterrupted
from ropewalk.local.env import system_address
from ropewalk.local.observe import observe
from ropewalk.local.state import StackState, endpoints_of
from ropewalk.status.problems import Problem, problems_of
from ropewalk.status.seen import ProcessState

PUBLISHING_SERVICE = Path(__file__).parent / "publishing_service.py"
NAMED_WITHIN_S = 10.0


async def until(condition: Callable[[], Awaitable[bool]], deadline_s: float) -> float:
    """Wait for a condition; returns how long it took."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < deadline_s
        await asyncio.sleep(0.2)
    return time.monotonic() - began


@pytest.fixture
async def look(small_disk: Path, plan, running, operator_url) -> Callable[[], Awaitable[tuple[Problem, ...]]]:
    """What `ropewalk status` finds wrong now."""

    async def now() -> tuple[Problem, ...]:
        endpoints = endpoints_of(plan.ports)
        state = StackState(
            supervisor_pid=os.getpid(),
            state_dir=str(small_disk),
            ports=plan.ports,
            endpoints=endpoints,
            processes=(running.state, ProcessState(service="publishing", status="stopped")),
        )
        operator, system = Address(url=operator_url), system_address(plan.ports, plan.credentials)
        return problems_of(await asyncio.to_thread(observe, plan.layout, state, operator, system, ("publishing",)))

    return now


@pytest.fixture
async def bus(settings, running) -> AsyncIterator[Bus]:
    await apply_topology(settings)
    bus = await Bus.connect(settings, "test")
    yield bus
    await bus.close()


@pytest.fixture
async def service(settings, bus: Bus, tmp_path: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A real service that publishes an event ten times a second and writes down what was acknowledged."""
    environment = os.environ | {
        "ROPEWALK_NATS_URL": settings.url,
        "ROPEWALK_NATS_USER": settings.user,
        "ROPEWALK_NATS_PASSWORD": settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path / "service"),
    }
    with (tmp_path / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, PUBLISHING_SERVICE, tmp_path / "acknowledged"], env=environment, stdout=log, stderr=log
        )
    yield process
    process.terminate()
    assert process.wait(20) == 0


async def test_a_full_disk_is_named_with_what_waits_and_nothing_is_lost_when_there_is_room_again(
    small_disk: Path, look, bus: Bus, running, service, tmp_path: Path
) -> None:
    acknowledged = tmp_path / "acknowledged"

    async def publishes() -> bool:
        return acknowledged.exists() and acknowledged.read_text().count("\n") > 5

    await until(publishes, 30)
    assert await look() == ()
    filler = small_disk / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(60 * 1024**2))
    found: list[Problem] = []

    async def named_with_what_waits() -> bool:
        found[:] = [problem for problem in await look() if problem.kind == "disk_full" and problem.since]
        return bool(found)

    assert await until(named_with_what_waits, 3 * NAMED_WITHIN_S) <= NAMED_WITHIN_S
    assert f"the disk of the event log is full: {small_disk}/nats (mounted at {small_disk})" in found[0].what
    assert "sends wait since" in found[0].what or "1 send waits since" in found[0].what
    assert "make room" in found[0].remedy
    before = acknowledged.read_text().splitlines()

    filler.unlink()

    async def goes_on() -> bool:
        return len(acknowledged.read_text().splitlines()) > len(before) + 5

    await until(goes_on, 60)
    assert running.state.restarts == 1
    service.terminate()
    service.wait(20)
    stored = {item.message.run_id async for item in bus.read(f"{StageInterrupted.subject_prefix()}.*")}
    assert set(acknowledged.read_text().split()) <= stored

    async def is_well() -> bool:
        return await look() == ()

    await until(is_well, 20)
