"""A service to drill in the place of ingest: one stage, whose attempts last as long as the run's name says.

It has the name, the consumers and the rights of ingest, and nothing else of it. Started under supervision by tests.
"""

import asyncio

from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.base import Message
from ropewalk.events.contract import Reaction, Stage
from ropewalk.events.data import CorpusIngested, SegmentIngested, SegmentRef
from ropewalk.events.run import RunAccepted, RunRejected, SubmitRun
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError

SEGMENT = SegmentRef(segment_id="s", uri="segments/s", num_documents=1, num_bytes=1)


async def work(context: StageContext, event: RunAccepted) -> tuple[Message, ...]:
    """`lasts-60-1` works for a minute in its first attempt and for a second in any later one; `fails-0` fails."""
    await context.emit(SegmentIngested(run_id=event.run_id, source_id="x", segment=SEGMENT), key="s")
    seconds = [float(part) for part in event.run_id.split("-")[1:]]
    await asyncio.sleep(seconds[min(context.attempt, len(seconds)) - 1])
    if event.run_id.startswith("fails"):
        raise StageError("there is nothing to ingest: add a source")
    return (CorpusIngested(run_id=event.run_id, segments=(SEGMENT,), num_documents=1, num_bytes=1, num_quarantined=0),)


async def refuse(request: SubmitRun) -> Outcome:
    """Nothing that is submitted here can be run."""
    return Done((RunRejected(run_id=request.run_id, violations=("this service runs nothing",)),))


def build() -> Service:
    """The service, as the tests that create its consumers know it too."""
    service = Service("ingest", RuntimeSettings())
    service.stage(Stage("ingest", RunAccepted), work)
    service.on(Reaction("submit", SubmitRun), refuse)
    return service


if __name__ == "__main__":
    build().run()
