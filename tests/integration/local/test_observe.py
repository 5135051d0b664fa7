"""What `ropewalk status` sees on a real broker: open dead letters, services that answer, hang and end."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.wire import Address
from ropewalk.client.dead_letters import DeadLetters
from ropewalk.local.env import system_address
from ropewalk.local.observe import observe
from ropewalk.local.state import StackState, endpoints_of
from ropewalk.status.problems import Problem, problems_of
from ropewalk.status.seen import ProcessState

SAMPLE = Path(__file__).parents[1] / "stages" / "sample_service.py"


@pytest.fixture
async def bus(settings, running) -> AsyncIterator[Bus]:
    await apply_topology(settings)
    bus = await Bus.connect(settings, "test")
    yield bus
    await bus.close()


@pytest.fixture
async def sample(settings, bus, tmp_path: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "ROPEWALK_NATS_URL": settings.url,
        "ROPEWALK_NATS_USER": settings.user,
        "ROPEWALK_NATS_PASSWORD": settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path / "service"),
    }
    with (tmp_path / "service.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, SAMPLE], env=environment, stdout=log, stderr=log)
    yield process
    process.send_signal(signal.SIGCONT)
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture
def look(plan, running, operator_url) -> Callable[[], Awaitable[tuple[Problem, ...]]]:
    """What is wrong now, with the sample service counting as ready."""

    async def now() -> tuple[Problem, ...]:
        endpoints = endpoints_of(plan.ports)
        state = StackState(
            supervisor_pid=os.getpid(),
            state_dir=str(plan.layout.state_dir),
            ports=plan.ports,
            endpoints=endpoints,
            processes=(running.state, ProcessState(service="sample", pid=1, status="ready")),
        )
        return problems_of(
            await asyncio.to_thread(
                observe,
                plan.layout,
                state,
                Address(url=operator_url),
                system_address(plan.ports, plan.credentials),
                ("sample",),
            )
        )

    return now


async def kinds_until(look: Callable[[], Awaitable[tuple[Problem, ...]]], wanted: set[str]) -> tuple[Problem, ...]:
    """Wait until exactly these kinds of problems are seen."""
    deadline = time.monotonic() + 30
    while True:
        found = await look()
        if {problem.kind for problem in found} == wanted:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


async def test_open_dead_letters_are_counted_and_settled_ones_are_not(look, bus: Bus, sample) -> None:
    await kinds_until(look, set())
    for number in range(2):
        await bus.connection.request(f"evt.run.accepted.v1.broken-{number}", b"not json", timeout=5)
    letters = DeadLetters(bus)
    deadline = time.monotonic() + 20
    while len(opened := await letters.read()) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    (two,) = await kinds_until(look, {"dead_letters"})
    assert two.what.startswith("2 messages were set aside")

    await letters.drop(opened[0], "not needed")

    (one,) = await kinds_until(look, {"dead_letters"})
    assert one.what.startswith("1 message was set aside")


async def test_a_stopped_process_is_named_and_forgiven_when_it_goes_on(look, sample) -> None:
    await kinds_until(look, set())
    sample.send_signal(signal.SIGSTOP)
    (hanging,) = await kinds_until(look, {"not_answering"})
    assert hanging.what.startswith("sample lives and does not answer")
    sample.send_signal(signal.SIGCONT)
    await kinds_until(look, set())


async def test_a_killed_broker_is_named_at_once_and_alone(look, running, sample) -> None:
    await kinds_until(look, set())
    pid = running.state.pid
    os.kill(pid, signal.SIGSTOP)
    (frozen,) = await kinds_until(look, {"broker_down"})
    assert "lives and does not answer" in frozen.what
    os.kill(pid, signal.SIGKILL)
    await kinds_until(look, set())
    assert running.state.last_ending == "was killed by SIGKILL"
