"""The smallest stack there is: a broker and one service, both supervised, in a state folder like any other."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from ropewalk.admin.access import MAINTAINER, SUPERVISOR
from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.client.client import Client
from ropewalk.client.settings import find_settings
from ropewalk.drills.acting import run_drill
from ropewalk.drills.files import DrillResult
from ropewalk.drills.scene import DrillOptions
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.run import RunAccepted, StageStarted
from ropewalk.local.env import bus_settings
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.lock import held
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import Ports, choose_ports
from ropewalk.local.state import StackState, endpoints_of, write_state
from ropewalk.local.supervision.commands import StackPlan, broker
from ropewalk.local.supervision.probes import ServicePings
from ropewalk.local.supervision.process import SupervisedProcess
from ropewalk.local.supervision.spec import ProcessSpec
from ropewalk.local.supervision.supervisor import prepare
from ropewalk.recipes.builtin import resolve_recipe

SERVICE = Path(__file__).parent / "drilled_service.py"
DEADLINE_S = 60.0


class SmallStack:
    """Supervises a broker and the service as the supervisor does, and says so in the state folder."""

    def __init__(self, plan: StackPlan, consumers: Sequence[ConsumerSpec]) -> None:
        self.layout: Layout = plan.layout
        self._plan = plan
        self._consumers = consumers
        self._settings = bus_settings(SUPERVISOR, plan.layout, plan.ports)
        self._pings = ServicePings(self._settings)
        self._processes: list[SupervisedProcess] = []

    async def start(self) -> None:
        self._write()
        await self._start(broker(self._plan))
        await apply_topology(self._settings, self._consumers)
        await self._start(
            ProcessSpec(
                name="ingest",
                command=(sys.executable, str(SERVICE)),
                environment=self._plan.environment("ingest") | {"ROPEWALK_LEASE_TTL_S": "2"},
                ready=self._pings.answers("ingest"),
            )
        )

    async def stop(self) -> None:
        await self._pings.close()
        for process in reversed(self._processes):
            await process.stop()

    async def _start(self, spec: ProcessSpec) -> None:
        process = SupervisedProcess(spec, self.layout, self._write)
        self._processes.append(process)
        process.start()
        await process.wait_ready(60)

    def _write(self) -> None:
        state = StackState(
            supervisor_pid=os.getpid(),
            state_dir=str(self.layout.state_dir),
            ports=self._plan.ports,
            endpoints=endpoints_of(self._plan.ports),
            processes=tuple(each.state for each in self._processes),
            phase="ready",
        )
        write_state(self.layout.stack_file, state)


@asynccontextmanager
async def running_in(layout: Layout, load_script: Callable) -> AsyncIterator[SmallStack]:
    """A small stack in a state folder."""
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("ropewalk.local.supervision.supervisor.Ports", lambda: choose_ports(Ports(nats=1), PortClaims()))
        stack.enter_context(held(layout))
        made = SmallStack(prepare(layout), load_script(SERVICE).build().consumers())
        stack.push_async_callback(made.stop)
        await made.start()
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def small_stack(tmp_path_factory: pytest.TempPathFactory, load_script: Callable) -> AsyncIterator[SmallStack]:
    layout = layout_of(tmp_path_factory.mktemp("drills") / "state")
    layout.create()
    async with running_in(layout, load_script) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def small_disk_stack(
    tmp_path_factory: pytest.TempPathFactory, load_script: Callable
) -> AsyncIterator[SmallStack]:
    """A small stack whose broker's store lies on a file system of 60 MB."""
    layout = layout_of(tmp_path_factory.mktemp("drills") / "state")
    layout.create()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", layout.nats_store]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    try:
        async with running_in(layout, load_script) as made:
            yield made
    finally:
        subprocess.run(["umount", "-l", layout.nats_store], check=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(small_stack: SmallStack) -> AsyncIterator[Client]:
    async with await Client.connect(find_settings(small_stack.layout.state_dir, MAINTAINER)) as client:
        yield client


@pytest.fixture
def bus(client: Client) -> Bus:
    return client.bus


@pytest.fixture
def begin(bus: Bus) -> Callable[[str], Awaitable[None]]:
    """Accept a run and wait until the service works on it."""

    async def accept(run_id: str) -> None:
        recipe = resolve_recipe({"base": "python-stdlib-tiny"})
        accepted = RunAccepted(run_id=run_id, recipe=recipe.as_json(), recipe_sha256=recipe.sha256())
        await bus.publish(accepted, cause_id=run_id)
        async with asyncio.timeout(DEADLINE_S):
            while await bus.last(StageStarted, run_id) is None:
                await asyncio.sleep(0.1)

    return accept


@pytest.fixture
def play() -> Callable[..., Awaitable[DrillResult]]:
    """Play a drill with a patience that fits a small service."""

    async def run(stack: SmallStack, name: str, **options: object) -> DrillResult:
        fields: dict = {"patience_s": DEADLINE_S} | options
        return await run_drill(name, stack.layout, DrillOptions(**fields))

    return run
