"""Four services with the real shell, the real requests and the real ends of a run, and stages that are quick.

Every stage emits facts, has outside effects and takes a moment, so that faults find it at any point.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from chaos.behaviour import NUM_EFFECTS, NUM_FACTS, behaviour_of
from chaos.effects import apply_effect, effect_of
from chaos.workers import add_up, work_as_group

from ropewalk.checkpoint_manager import handlers as checkpoint_handlers
from ropewalk.events.base import Message
from ropewalk.events.contract import Reaction, Stage
from ropewalk.events.data import CorpusIngested, DatasetPublished, SegmentIngested, SegmentRef
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.resources import Resources
from ropewalk.events.run import CancelRun, RunAccepted, SubmitRun
from ropewalk.events.training import TrainingCompleted
from ropewalk.ingest import handlers as ingest_handlers
from ropewalk.ingest.settings import Settings as IngestSettings
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError

_PAUSE_S = 0.06
_CHILD_S = 0.8
_STALL_S = 12.0  # longer than any outage here, or sound stages would count as stalled
_NOTHING = Estimate(metric="m", value=0, lower=0, upper=0, level=0.9, num_items=1, method="none")
# Not the names of the real services, whose consumers have other subjects.
SERVICES = ("quick-ingest", "quick-preprocessing", "quick-trainer", "quick-evaluator")

Work = Callable[[StageContext, Any], Awaitable[tuple[Message, ...]]]


def build(name: str, settings: RuntimeSettings) -> Service:
    """One of the four, ready to run."""
    service = Service(name, settings)
    stage = partial(_stage, effects=settings.state_dir / "effects")
    match name:
        case "quick-ingest":
            accept, given = ingest_handlers.submit_run, IngestSettings()
            service.on(Reaction("submit", SubmitRun), lambda request: accept(request, service.bus, given))
            service.on(Reaction("cancel", CancelRun), lambda request: ingest_handlers.cancel_run(request, service.bus))
            service.stage(Stage("ingest", RunAccepted), stage(_ingested), needs=lambda _: Resources(cpus=1.0))
        case "quick-preprocessing":
            service.stage(Stage("preprocess", CorpusIngested), stage(_published), needs=lambda _: Resources(cpus=0.5))
        case "quick-trainer":
            two = Resources(cpus=2.0)
            service.stage(Stage("train", DatasetPublished), stage(_trained), needs=lambda _: two, stall_s=_STALL_S)
        case "quick-evaluator":
            service.stage(Stage("evaluate", TrainingCompleted), stage(_decided), needs=lambda _: Resources())
            conclude = checkpoint_handlers.conclude
            service.on(Reaction("conclude", GateDecided), lambda event: conclude(event, service.bus))
    return service


def _stage(outcome: Callable[[StageContext], Awaitable[Message]], *, effects: Path) -> Work:
    """Facts and effects in turn, then what the stage is for."""

    async def work(context: StageContext, event: Message) -> tuple[Message, ...]:
        for index in range(NUM_FACTS):
            segment = _segment(f"{context.stage}-{index}")
            await context.emit(SegmentIngested(run_id=event.run_id, source_id="x", segment=segment), key=str(index))
            if index < NUM_EFFECTS:
                effect = effect_of(context.stage, event.run_id, index, context.cause_id, context.epoch)
                await asyncio.to_thread(apply_effect, effects, effect)
            await asyncio.sleep(_PAUSE_S)
        return (await outcome(context),)

    return work


async def _ingested(context: StageContext) -> Message:
    segments = (_segment("all"),)
    return CorpusIngested(run_id=context.run_id, segments=segments, num_documents=1, num_bytes=1, num_quarantined=0)


async def _published(context: StageContext) -> Message:
    if behaviour_of(context.run_id) == "child":
        await context.in_child(add_up, _CHILD_S)
    return DatasetPublished(
        run_id=context.run_id,
        dataset_version="v",
        uri="datasets/v",
        tokenizer_uri="tokenizers/t",
        evalset_uri="evalsets/e",
        num_inputs=1,
        num_kept=1,
        num_held_out=0,
        dropped={},
        num_tokens=1,
        num_windows=1,
        context_length=1,
    )


async def _trained(context: StageContext) -> Message:
    behaviour = behaviour_of(context.run_id)
    if behaviour == "group":
        await context.in_child(work_as_group, _CHILD_S)
    if behaviour == "hang" and context.attempt == 1:
        await asyncio.Event().wait()
    if behaviour == "flaky" and context.attempt == 1:
        raise OSError("the first attempt fails")
    return TrainingCompleted(
        run_id=context.run_id, checkpoint_id="c", uri="checkpoints/c", step=1, loss=1.0, tokens=1, seconds=1.0
    )


async def _decided(context: StageContext) -> Message:
    if behaviour_of(context.run_id) == "hopeless":
        raise StageError("there is nothing to evaluate: submit the run with an evaluation set")
    return GateDecided(
        run_id=context.run_id,
        checkpoint_id="c",
        export_uri="exports/c",
        evaluation_uri="evaluations/c",
        decision="reject",
        reasons=(),
        baseline="",
        comparison=_NOTHING,
    )


def _segment(segment_id: str) -> SegmentRef:
    return SegmentRef(segment_id=segment_id, uri=f"segments/{segment_id}", num_documents=1, num_bytes=1)
