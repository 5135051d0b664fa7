"""A service with a slow handler and an endless stage, to be stopped while it has both in hand."""

import asyncio
import sys
import time
from pathlib import Path

from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.base import Message
from ropewalk.events.contract import Reaction, Stage
from ropewalk.events.run import RunAccepted, StageCompleted, StageInterrupted
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.context import StageContext


def build(seconds: float, begun: Path) -> Service:
    """Its handler takes so many seconds and writes down for whom it has begun."""
    service = Service("draining", RuntimeSettings())

    async def handle(event: StageInterrupted) -> Outcome:
        with begun.open("a") as file:
            file.write(f"{event.run_id}\n")
        if event.run_id == "in-a-thread":
            await asyncio.to_thread(time.sleep, seconds)  # which nobody can cancel, as a request to an object store
        await asyncio.sleep(seconds)
        return Done((StageCompleted(run_id=event.run_id, stage="none", epoch=1, seconds=seconds, cpu_seconds=0),))

    async def work(context: StageContext, event: RunAccepted) -> tuple[Message, ...]:
        await asyncio.Event().wait()
        return ()

    service.on(Reaction("slow", StageInterrupted), handle)
    service.stage(Stage("endless", RunAccepted), work)
    return service


if __name__ == "__main__":
    build(float(sys.argv[1]), Path(sys.argv[2])).run()
