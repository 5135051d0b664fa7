"""A service that notes all it does while its broker is away: `python outage_service.py NOTES`.

One stage counts steps, a publisher sends events that the service's own handler and follower receive, and the event
loop is sampled. Every note is a JSON line with the time of this machine.
"""

import asyncio
import json
import sys
import time
from itertools import count
from pathlib import Path
from typing import TextIO

from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.base import Message
from ropewalk.events.contract import Reaction, Stage
from ropewalk.events.data import SegmentIngested, SegmentRef
from ropewalk.events.run import RunAccepted, StageInterrupted
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.context import StageContext

STEP_S = 0.1
_SAMPLE_S = 0.005
_FACT_EVERY = 10
_SEGMENT = SegmentRef(segment_id="s", uri="segments/s", num_documents=1, num_bytes=1)


class Notes:
    """Appends what happened, one line each."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(self, what: str, **values: object) -> None:
        self._file.write(json.dumps({"at": time.time(), "what": what, **values}) + "\n")
        self._file.flush()


class Working:
    """What the service does all the time."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._facts: asyncio.Queue[int] = asyncio.Queue()
        self.service = service = Service("outage", RuntimeSettings())
        service.stage(Stage("steps", RunAccepted), self._steps)
        service.on(Reaction("notice", StageInterrupted), self._handle)
        for task in (self._publish, self._follow, self._sample):
            service.background(task)

    async def _steps(self, context: StageContext, event: RunAccepted) -> tuple[Message, ...]:
        """Steps go on while the broker is away, as those of a worker do; facts about them wait."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak(context))
            for step in count(1):
                await asyncio.sleep(STEP_S)
                context.progressed()
                self._notes.add("step", step=step, attempt=context.attempt)
                if step % _FACT_EVERY == 0:
                    self._facts.put_nowait(step)
        return ()

    async def _speak(self, context: StageContext) -> None:
        while True:
            step = str(await self._facts.get())
            await context.emit(SegmentIngested(run_id=context.run_id, source_id=step, segment=_SEGMENT), key=step)

    async def _publish(self) -> None:
        for number in count(1):
            event = StageInterrupted(run_id=f"n{number}", stage="none", epoch=0, cause="benchmark")
            await self.service.bus.publish(event)
            self._notes.add("published", number=number)
            await asyncio.sleep(STEP_S)

    async def _handle(self, event: StageInterrupted) -> Outcome:
        self._notes.add("handled", run_id=event.run_id)
        return Done()

    async def _follow(self) -> None:
        bus = self.service.bus
        async for item in bus.follow(f"{StageInterrupted.subject_prefix()}.*", after=await bus.end()):
            self._notes.add("followed", run_id=item.message.run_id)

    async def _sample(self) -> None:
        """How long the loop did not turn. Only what matters is noted."""
        while True:
            before, cpu_before = time.monotonic(), time.thread_time()
            await asyncio.sleep(_SAMPLE_S)
            blocked_s, cpu_s = time.monotonic() - before - _SAMPLE_S, time.thread_time() - cpu_before
            if blocked_s > _SAMPLE_S:
                self._notes.add("blocked", seconds=blocked_s, cpu_seconds=cpu_s)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a") as file:
        Working(Notes(file)).service.run()
