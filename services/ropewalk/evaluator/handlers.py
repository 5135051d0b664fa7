"""What the evaluator does about each event."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ropewalk.bus.bus import Bus
from ropewalk.bus.once import RunningFold, Timeline, once
from ropewalk.bus.schedules import DueTimer, arm
from ropewalk.delivery.outcome import Done, Outcome, Reject, Retry
from ropewalk.evaluator.adapters.item_scores import after_scores
from ropewalk.evaluator.adapters.judging.summoning import Means, bench_of
from ropewalk.evaluator.adapters.labelling.kept import keep
from ropewalk.evaluator.adapters.labelling.wanted import has_ended
from ropewalk.evaluator.adapters.measuring import Measured, MeasuringJob, Opponent, SetToAsk, measure
from ropewalk.evaluator.adapters.reports import publish_report, read_report, report_key
from ropewalk.evaluator.domain.budget import NOT_COUNTED, Tries, Try, gate_seed, gate_set
from ropewalk.evaluator.domain.estimates import PRODUCTION, SHOTS
from ropewalk.evaluator.domain.gate import decide, only_judged
from ropewalk.evaluator.domain.promotions import Promotions, Version
from ropewalk.evaluator.domain.report import EvaluationReport
from ropewalk.evaluator.domain.roles import BASE
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointExported
from ropewalk.events.data import CorpusIngested, DatasetPublished
from ropewalk.events.evaluation import (
    EvaluationProgressed,
    EvaluationReopened,
    EvaluationStarted,
    GateDecided,
    JudgeAgain,
)
from ropewalk.events.label import LabelsWanted
from ropewalk.events.moments import moment_of
from ropewalk.events.run import stage_state_subject
from ropewalk.events.task_set import FreezeTaskSet, RegisterTaskSet, TaskSetFrozen, TaskSetRegistered
from ropewalk.projections.task_sets import TaskSetStanding, standings
from ropewalk.recipes.bases import base_location
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.shelf import fetch_task_set, key_of, stored_task_set

BASE_MODEL = "the base model"
_DEFERRAL = "deferral"  # the timer of a run whose decision waits
_MOST_LOOKS = 6  # each of which asks twice as much
_LOOK_AGAIN_S = 30.0


async def evaluate_checkpoint(
    ctx: StageContext,
    event: CheckpointExported,
    means: Means,
    promotions: RunningFold[Promotions],
    tries: RunningFold[Tries],
) -> tuple[Message, ...]:
    """Measure an export and decide; a report that is already sealed is not made again."""
    key = report_key(event.checkpoint_id, await _look(ctx.bus, event))
    # A redelivered event, or another instance after a crash, finds the sealed report and says the same again.
    earlier = await asyncio.to_thread(read_report, ctx.objects, key)
    if earlier is not None:
        return await after_scores(ctx, earlier, key)
    dataset = await _dataset(ctx)
    known, wanted = await promotions.now(ctx.bus), ctx.recipe.promotion
    # What is only judged is not compared with what serves: its gain would be a try that nobody counts.
    production = known.opponent(ctx.recipe.model, wanted.alias, event.checkpoint_id) if wanted.promote else None
    if production is not None and not await asyncio.to_thread(ctx.objects.exists, production.export_uri):
        production = None  # its export was removed: as if there were none
    tried, base = await _begin(ctx, event, production, tries), await _base(ctx, production)
    opponent = await _opponent(ctx, production, base)
    # Torch and the models live in a child: its memory goes with it, and a crash there is a failed stage only.
    export, trained_on, evalset = [
        await asyncio.to_thread(ctx.objects.fetch, uri) for uri in (event.uri, dataset.uri, dataset.evalset_uri)
    ]
    job = MeasuringJob(
        checkpoint_id=event.checkpoint_id,
        recipe=ctx.recipe.model_copy(update={"seed": gate_seed(ctx.recipe.model)}),
        export=export,
        dataset=trained_on,
        evalset=evalset,
        opponent=opponent,
        threads=means.threads,
        tried=tried,
        base=base,
        segments=await _segments(ctx),
        task_minutes=means.task_minutes,
        task_sets=await _task_sets(ctx, dataset),
    )
    measured = await _measure(ctx, event, job, means)
    report = _report(ctx, event, dataset, opponent, measured)
    await asyncio.to_thread(publish_report, ctx.objects, ctx.scratch / "report", report, measured)
    return await after_scores(ctx, report, key)


async def _dataset(ctx: StageContext) -> DatasetPublished:
    dataset = await ctx.bus.last(DatasetPublished, ctx.run_id)
    if dataset is None:
        raise StageError(f"run {ctx.run_id} has no published dataset, so there is nothing held out to judge by")
    return dataset


async def _task_sets(ctx: StageContext, dataset: DatasetPublished) -> tuple[SetToAsk, ...]:
    """Those that the recipe names, as they were frozen, and what the run's preprocessing did about each."""
    found, blocked = [], {each.task_set: each for each in dataset.task_sets}
    for name in ctx.recipe.evaluation.task_sets:
        task_set_id, _, version = name.partition("@")
        facts = [item.message async for item in ctx.bus.read(f"{TaskSetFrozen.subject_prefix()}.{task_set_id}")]
        content = standings(facts).get((task_set_id, int(version)), TaskSetStanding()).frozen
        if not content:
            raise StageError(f"task set {name} is not frozen, so nobody can be judged by it")
        folder = await asyncio.to_thread(ctx.objects.fetch, key_of(content))
        found.append(SetToAsk(folder=folder, dataset_version=dataset.dataset_version, blocked=blocked.get(name)))
    return tuple(found)


async def _measure(ctx: StageContext, event: CheckpointExported, job: MeasuringJob, means: Means) -> Measured:
    """In the child, with what is known of judged task sets; what that leaves for a later look is kept."""
    before = None
    if job.tried.look > 1:
        key = report_key(event.checkpoint_id, job.tried.look - 1)
        before = await asyncio.to_thread(read_report, ctx.objects, key)
    job = await _with_benches(ctx, job, event, before, means)
    measured = await ctx.in_child(measure, job, partial(_tell, ctx, event.checkpoint_id))
    for place, each in enumerate(measured.judged_sets):
        await asyncio.to_thread(keep, ctx.objects, each, ctx.scratch / f"judged-{place}")
    return measured


async def _with_benches(
    ctx: StageContext, job: MeasuringJob, event: CheckpointExported, before: EvaluationReport | None, means: Means
) -> MeasuringJob:
    sections = {each.content: each for each in before.task_sets} if before else {}
    sets = []
    for each in job.task_sets:
        found = await asyncio.to_thread(stored_task_set, each.folder)
        if found.definition.is_judged:
            models = (event.uri, job.opponent.uri if job.opponent else "")
            bench = await bench_of(ctx.bus, ctx.objects, means, found, models, sections.get(found.content))
            each = replace(each, bench=bench)
        sets.append(each)
    return replace(job, task_sets=tuple(sets))


async def register_task_set(request: RegisterTaskSet, log: Timeline, objects: ObjectStore) -> Outcome:
    """Say that a version is known, once what lies in the store is sound and is what was asked."""
    name, standing = f"{request.task_set_id}@{request.version}", await _standing(request, log)
    if standing.frozen not in ("", request.content):
        return Reject(f"{name} is frozen with another content: give it another version")
    if standing.registered == request.content:
        return Done()
    try:
        found = await asyncio.to_thread(fetch_task_set, objects, request.content)  # seconds for 32 MB of items
    except (StorageError, TaskSetError) as error:
        return Reject(f"{name} cannot be registered: {error}")
    if (found.definition.full_name, found.content) != (name, request.content):
        return Reject(f"{name} cannot be registered: {found.definition.full_name} lies under its content")
    return Done((TaskSetRegistered(**found.facts()),))


async def freeze_task_set(request: FreezeTaskSet, log: Timeline) -> Outcome:
    """Say that a version stays as it is, if that is what it is."""
    standing = await _standing(request, log)
    if standing.frozen == request.content:
        return Done()
    if standing.frozen or standing.registered != request.content:
        return Reject(f"{request.task_set_id}@{request.version} has another content than the one to freeze")
    return Done((TaskSetFrozen(task_set_id=request.task_set_id, version=request.version, content=request.content),))


async def _standing(request: RegisterTaskSet | FreezeTaskSet, log: Timeline) -> TaskSetStanding:
    facts = [item.message async for item in once(log.read(f"evt.task_set.*.*.{request.task_set_id}"))]
    return standings(facts).get((request.task_set_id, request.version), TaskSetStanding())


async def evaluate_or_defer(
    ctx: StageContext, event: CheckpointExported, evaluate: Callable[..., Awaitable[tuple[Message, ...]]]
) -> tuple[Message, ...]:
    """What follows from a judgement. Where more is needed and the recipe gives it time, the run waits for it."""
    *facts, decided = await evaluate(ctx, event)
    assert isinstance(decided, GateDecided), "a judgement ends with its decision"
    others = [each for each in facts if not isinstance(each, LabelsWanted)]  # nobody labels for what is decided
    if decided.look > 1 and await has_ended(ctx.bus, ctx.run_id):
        return tuple(others)  # while it was judged once more: nothing is decided about it any more
    hours, before = ctx.recipe.evaluation.defer_hours, await ctx.bus.last(GateDecided, ctx.run_id)
    if decided.decision != "need_more" or not hours:
        return (*others, decided)
    if decided.num_left == 0 or decided.look >= _MOST_LOOKS:
        why = "nothing is waited for, since another look would ask nothing more: submit it again with more of it"
        return (*others, decided.model_copy(update={"reasons": (*decided.reasons, why)}))
    until = before.decide_by_unix if before and before.is_deferred else time.time() + 3600 * hours
    await arm(ctx.bus, _DEFERRAL, ctx.run_id, moment_of(until))  # fires though every service is down
    return (*facts, decided.model_copy(update={"verdict": "deferred", "decide_by_unix": until}))


async def judge_again(request: JudgeAgain, bus: Bus) -> Outcome:
    """Look once more at what a deferred decision is about: its export is told again, for the stage to take up."""
    decided, exported = await bus.last(GateDecided, request.run_id), await bus.last(CheckpointExported, request.run_id)
    is_over = await has_ended(bus, request.run_id)
    if decided is None or not decided.is_deferred or exported is None or is_over:
        return Reject(f"run {request.run_id} has no deferred decision, so there is nothing to judge again")
    if decided.look >= _MOST_LOOKS:
        return Reject(f"the checkpoint of run {request.run_id} was judged {decided.look} times, which is all there is")
    reopened = await bus.last(EvaluationReopened, request.run_id)
    if reopened is not None and reopened.look > decided.look:
        return Done()  # it is under way
    look = EvaluationReopened(run_id=request.run_id, checkpoint_id=decided.checkpoint_id, look=decided.look + 1)
    return Done((look, exported))


async def decide_at_deadline(timer: DueTimer, bus: Bus) -> Outcome:
    """The time of a deferred decision is over: what there is does not promote."""
    decided = await bus.last(GateDecided, timer.entity)
    if decided is None or not decided.is_deferred or await has_ended(bus, timer.entity):
        return Done()
    state, _ = await bus.read_state(stage_state_subject("evaluate", timer.entity))
    if state is not None and state.status in ("queued", "running"):
        return Retry(_LOOK_AGAIN_S, "it is being judged once more, which decides first")
    reasons = (f"no more came until {moment_of(decided.decide_by_unix):%Y-%m-%d %H:%M} UTC", *decided.reasons)
    return Done((decided.model_copy(update={"decision": "reject", "verdict": "", "reasons": reasons}),))


async def _look(bus: Bus, event: CheckpointExported) -> int:
    """Which judgement of the checkpoint this is."""
    reopened = await bus.last(EvaluationReopened, event.run_id)
    return reopened.look if reopened is not None and reopened.checkpoint_id == event.checkpoint_id else 1


async def _begin(
    ctx: StageContext, event: CheckpointExported, production: Version | None, tries: RunningFold[Tries]
) -> Try:
    """Say that it begins: from then on it counts as a try, also beside others, unless it cannot be promoted."""
    can_win = ctx.recipe.promotion.promote
    asked = gate_set(ctx.recipe.model, production.model_version if production else 0) if can_win else ""
    look = await _look(ctx.bus, event)
    started = EvaluationStarted(run_id=ctx.run_id, checkpoint_id=event.checkpoint_id, gate_set=asked, look=look)
    await ctx.emit(started, key=f"{event.checkpoint_id}/{asked}/{look}")  # a redo may meet another opponent
    return (await tries.now(ctx.bus)).of(asked, event.checkpoint_id, look) if can_win else NOT_COUNTED


async def _tell(ctx: StageContext, checkpoint_id: str, answers: tuple[int, int]) -> None:
    """`answers`: how many there are, and how many of a task's examples are wanted."""
    num_answers, num_asked = answers
    said = EvaluationProgressed(
        run_id=ctx.run_id, checkpoint_id=checkpoint_id, num_answers=num_answers, num_asked=num_asked
    )
    await ctx.emit(said, key=f"{checkpoint_id}/{ctx.epoch}.{ctx.attempt}/{num_answers}")  # an attempt begins anew


async def _base(ctx: StageContext, production: Version | None) -> str:
    """Where the base model lies; empty where nobody asks it anything."""
    recipe = ctx.recipe
    is_asked = production is None or recipe.task is not None or recipe.derived.objective == "dpo"
    return await asyncio.to_thread(base_location, recipe, ctx.objects) if recipe.has_base and is_asked else ""


async def _opponent(ctx: StageContext, production: Version | None, base: str) -> Opponent | None:
    """What the candidate must beat: production, else the base it was made from, else nothing but n-grams."""
    if production is not None:
        folder = await asyncio.to_thread(ctx.objects.fetch, production.export_uri)
        name = f"{production.model}@{production.model_version}"
        dataset = await _dataset_of(ctx, production.run_id)
        return Opponent(column=PRODUCTION, name=name, uri=production.export_uri, model=str(folder), dataset=dataset)
    if base:
        return Opponent(column=BASE, name=BASE_MODEL, uri=ctx.recipe.base_model, model=base)
    return None


async def _segments(ctx: StageContext) -> tuple[Path, ...]:
    """The run's documents, from which worked examples are taken; none where nobody is shown any."""
    task = ctx.recipe.task
    if task is None or not task.shots or SHOTS not in task.compare:
        return ()
    corpus = await ctx.bus.last(CorpusIngested, ctx.run_id)
    uris = [segment.uri for segment in corpus.segments] if corpus else []
    return tuple([await asyncio.to_thread(ctx.objects.fetch, uri) for uri in uris])


async def _dataset_of(ctx: StageContext, run_id: str) -> Path | None:
    """What a model learnt from; None where nobody can tell any more."""
    dataset = await ctx.bus.last(DatasetPublished, run_id)
    if dataset is None or not await asyncio.to_thread(ctx.objects.exists, dataset.uri):
        return None
    return await asyncio.to_thread(ctx.objects.fetch, dataset.uri)


def _report(
    ctx: StageContext, event: CheckpointExported, dataset: DatasetPublished, opponent: Opponent | None, found: Measured
) -> EvaluationReport:
    evidence, recipe = found.evidence, ctx.recipe
    decision = decide(evidence) if recipe.promotion.promote else only_judged(evidence)
    return EvaluationReport(
        run_id=ctx.run_id,
        checkpoint_id=event.checkpoint_id,
        export_uri=event.uri,
        dataset_version=dataset.dataset_version,
        evalset_uri=dataset.evalset_uri,
        recipe_sha256=recipe.sha256(),
        seed=gate_seed(recipe.model),
        gate_set=evidence.tried.gate_set,
        try_number=evidence.tried.number if evidence.tried.gate_set else 0,
        look=evidence.tried.look,
        judged_only=not recipe.promotion.promote,
        num_left=evidence.num_left,
        num_bytes=sum(row.num_bytes for row in found.judged),
        num_files=len({row.path for row in found.judged}),
        num_documents=len(found.judged),
        num_held_out=evidence.num_held_out,
        num_seen_by_opponent=evidence.num_seen,
        gate=recipe.evaluation.gate,
        num_baseline_tokens=found.num_baseline_tokens,
        estimates=tuple(each for each in evidence.estimates if each.role != "primary"),  # that one is `comparison`
        baseline=evidence.opponent,
        baseline_export_uri=opponent.uri if opponent else "",
        comparison=evidence.gain,
        margin=evidence.margin,
        bounds=evidence.bounds,
        decision=decision.decision,
        reasons=(*decision.reasons, *found.notes, *(found.task.sentences() if found.task else ())),
        task=found.task,
        task_sets=found.task_sets,
    )
