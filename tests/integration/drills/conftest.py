"""The smallest stack there is: a broker and one service, both supervised, in a state folder like any other."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from ropewalk.client.client import Client
from ropewalk.client.settings import find_settings
from ropewalk.drills.acting import DrillResult, run_drill
from ropewalk.drills.scene import DrillOptions
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.run import RunAccepted, StageStarted
from ropewalk.local.commands import Plan, broker
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.ports import Ports, choose_ports
from ropewalk.local.probes import ServicePings
from ropewalk.local.process import SupervisedProcess
from ropewalk.local.processes import kill_leftovers
from ropewalk.local.spec import ProcessSpec
from ropewalk.local.state import StackState, endpoints_of, write_state
from ropewalk.local.supervisor import held, prepare
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.runtime.bus import Bus
from ropewalk.runtime.topology import apply_topology

SERVICE = Path(__file__).parent / "drilled_service.py"
DEADLINE_S = 40.0


class SmallStack:
    """Supervises a broker and the sample service as the supervisor does."""

    def __init__(self, plan: Plan, consumers: Sequence[ConsumerSpec]) -> None:
        self.plan = plan
        self._consumers = consumers
        self.layout: Layout = plan.layout
        self._processes: list[SupervisedProcess] = []

    def settings(self):
        return find_settings(self.layout.state_dir)

    async def start(self) -> None:
        self._write()
        await self._start(broker(self.plan))
        nats = self.settings().nats
        await apply_topology(nats, self._consumers)
        self._pings = ServicePings(nats.url, nats.token)
        environment = self.plan.environment("sample") | {"ROPEWALK_LEASE_TTL_S": "2"}
        await self._start(
            ProcessSpec(
                name="sample",
                command=(sys.executable, str(SERVICE)),
                environment=environment,
                ready=self._pings.answers("sample"),
            )
        )

    async def stop(self) -> None:
        await self._pings.close()
        for process in reversed(self._processes):
            await process.stop()
        kill_leftovers(self.layout.state_dir)

    def process(self, name: str) -> SupervisedProcess:
        return next(each for each in self._processes if each.spec.name == name)

    async def _start(self, spec: ProcessSpec) -> None:
        process = SupervisedProcess(spec, self.layout, self._write)
        self._processes.append(process)
        process.start()
        await process.wait_ready(30)

    def _write(self) -> None:
        endpoints = endpoints_of(self.plan.ports)
        processes = tuple(each.state for each in self._processes)
        state = StackState(
            supervisor_pid=os.getpid(),
            state_dir=str(self.layout.state_dir),
            ports=self.plan.ports,
            endpoints=endpoints,
            processes=processes,
            phase="ready",
        )
        write_state(self.layout.stack_file, state)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def small_stack(tmp_path_factory: pytest.TempPathFactory, load_script: Callable) -> AsyncIterator[SmallStack]:
    layout = layout_of(tmp_path_factory.mktemp("drills") / "state")
    layout.create()
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("ropewalk.local.supervisor.Ports", lambda: choose_ports(Ports(nats=1, nats_monitor=2)))
        stack.enter_context(held(layout))
        made = SmallStack(prepare(layout), load_script(SERVICE).build().consumers())
        stack.push_async_callback(made.stop)
        await made.start()
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bus(small_stack: SmallStack) -> AsyncIterator[Bus]:
    async with await Client.connect(small_stack.settings()) as client:
        yield client.bus


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
def play(small_stack: SmallStack) -> Callable[..., Awaitable[DrillResult]]:
    """Play a drill with a patience that fits a small service."""

    async def run(name: str, **options: object) -> DrillResult:
        fields: dict = {"patience_s": DEADLINE_S} | options
        return await run_drill(name, small_stack.layout, DrillOptions(**fields))

    return run
