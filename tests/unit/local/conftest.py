"""Real, tiny processes under supervision."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.names import MARKER, PROCESS_MARKER
from ropewalk.local.supervision.process import SupervisedProcess
from ropewalk.local.supervision.processes import kill_leftovers
from ropewalk.local.supervision.spec import ProcessSpec, RestartPolicy

QUICK = RestartPolicy(first_delay_s=0.02, max_delay_s=0.1)


async def _always() -> bool:
    return True


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A state folder with its sub-folders."""
    made = layout_of(tmp_path / "state")
    made.create()
    return made


@pytest.fixture
async def supervise(layout: Layout) -> AsyncIterator[Callable[..., SupervisedProcess]]:
    """Start a Python one-liner under supervision; it is stopped and swept at the end of the test."""
    begun: list[SupervisedProcess] = []

    def start(code: str, name: str = "worker", **spec: object) -> SupervisedProcess:
        environment = {**os.environ, MARKER: str(layout.state_dir), PROCESS_MARKER: name}
        fields = {"ready": _always, "stop_grace_s": 2.0, **spec}
        command = (sys.executable, "-S", "-c", code)
        spec_of = ProcessSpec(name=name, command=command, environment=environment, **fields)
        process = SupervisedProcess(spec_of, layout, lambda: None, QUICK)
        begun.append(process)
        process.start()
        return process

    yield start
    for process in begun:
        await process.stop()
    kill_leftovers(layout.state_dir)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for a condition, at most ten seconds."""

    async def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in ten seconds"
            await asyncio.sleep(0.01)

    return wait
