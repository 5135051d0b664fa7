"""The stages that the demo itself owns: stack, traffic, watch, report. They have no lease, so their epoch is 0."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ropewalk.client.client import Client
from ropewalk.events.run import StageCompleted, StageStarted

CpuClock = Callable[[], float]


class DemoStages:
    """Publishes the beginning and end of the demo's stages with the CPU time that the whole stack used meanwhile."""

    def __init__(self, client: Client, run_id: str, cpu_clock: CpuClock) -> None:
        self._client = client
        self._run_id = run_id
        self._cpu_clock = cpu_clock

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncIterator[None]:
        """Everything inside belongs to the stage; if it raises, the stage is not completed."""
        await self._publish(StageStarted(run_id=self._run_id, stage=name, epoch=0))
        # The demo's own work happens in every process of the stack, so its CPU time is what all of them used meanwhile.
        began, cpu_before = time.monotonic(), self._cpu_clock()
        yield
        await self.completed(name, time.monotonic() - began, max(0.0, self._cpu_clock() - cpu_before))

    async def before_the_log(self, name: str, seconds: float) -> None:
        """A stage that ended before there was a log to write to; it used all CPU time there is."""
        await self._publish(StageStarted(run_id=self._run_id, stage=name, epoch=0))
        await self.completed(name, seconds, self._cpu_clock())

    async def completed(self, name: str, seconds: float, cpu_seconds: float) -> None:
        """Publish the end of a stage."""
        done = StageCompleted(run_id=self._run_id, stage=name, epoch=0, seconds=seconds, cpu_seconds=cpu_seconds)
        await self._publish(done)

    async def _publish(self, message: StageStarted | StageCompleted) -> None:
        """Once per run and stage, however often the demo is interrupted: the id follows from both."""
        await self._client.bus.publish(message, cause_id=f"demo/{self._run_id}", key=message.stage)
