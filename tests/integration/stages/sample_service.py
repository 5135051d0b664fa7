"""A service with one stage whose work depends on the name of the run. Started as a process by the tests."""

import asyncio
import time

from ropewalk.admin.topology import apply_topology
from ropewalk.events.base import Message
from ropewalk.events.contract import Stage
from ropewalk.events.data import CorpusIngested, SegmentIngested, SegmentRef
from ropewalk.events.run import RunAccepted
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError

SEGMENT = SegmentRef(segment_id="s", uri="segments/s", num_documents=1, num_bytes=1)
STALL_S = 4.0


async def work(context: StageContext, event: RunAccepted) -> tuple[Message, ...]:
    await context.emit(SegmentIngested(run_id=event.run_id, source_id="x", segment=SEGMENT), key="s")
    if event.run_id.startswith("slow"):
        await busy(context, 3)
    if event.run_id.startswith("long"):
        await busy(context, 9)
    if event.run_id.startswith("silent") and context.attempt == 1:
        await asyncio.sleep(60)
    if event.run_id.startswith("hangs") and context.attempt == 1:
        time.sleep(15)  # not even the event loop turns
    if event.run_id == "hopeless":
        raise StageError("the corpus is empty: add a source")
    if event.run_id == "flaky" and context.attempt == 1:
        raise OSError("the first attempt fails")
    return (CorpusIngested(run_id=event.run_id, segments=(SEGMENT,), num_documents=1, num_bytes=1, num_quarantined=0),)


async def busy(context: StageContext, seconds: int) -> None:
    for _ in range(seconds):
        if context.cancelled.is_set():
            return
        context.progressed()
        await asyncio.sleep(1)


def build() -> Service:
    service = Service("sample", RuntimeSettings())
    sample = Stage("sample", RunAccepted)
    service.stage(sample, work, when=lambda event: not event.run_id.startswith("unwanted"), stall_s=STALL_S)
    return service


if __name__ == "__main__":
    service = build()
    asyncio.run(apply_topology(service.settings.nats, consumers=service.consumers()))
    service.run()
