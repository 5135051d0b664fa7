"""One function per incoming message: load, decide, answer."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from ropewalk.bus.once import Log, Timeline, once
from ropewalk.corpus.pair_checks import look_at_pairs
from ropewalk.corpus.preflight import data_violations, disk_violations, recipe_violations, worker_violations
from ropewalk.corpus.reading.records import Limits
from ropewalk.corpus.task_checks import look_at_examples, task_violations
from ropewalk.delivery.outcome import Done, Outcome, Reject, Retry
from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.foreign import one_line
from ropewalk.events.pauses import PAUSABLE, Standing, standing_of
from ropewalk.events.resources import Resources
from ropewalk.events.run import (
    CancelRun,
    PauseRun,
    ResumeRun,
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunRejected,
    RunResumed,
    StageCapacity,
    SubmitRun,
)
from ropewalk.events.streams import DAY_S, LONGEST_TIMER_S
from ropewalk.ingest.adapters.reader import IngestJob, first_look, ingest_all
from ropewalk.ingest.settings import Settings
from ropewalk.model.importing.folders import declared_licence
from ropewalk.projections.projector import Projector
from ropewalk.recipes.bases import find_base, is_base_name, sized, with_base
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Recipe, RecipeError, parse_recipe
from ropewalk.recipes.sentences import bounded
from ropewalk.stages.child import run_child
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import WorkRaisedError
from ropewalk.stages.faults import OF_THE_WORK, in_one_line
from ropewalk.storage.probing import free_bytes
from ropewalk.usecases.smaller_runs import FRACTIONS, MOST_NAME, has_curve, smaller, smaller_id

_CANNOT_LOOK = "the recipe or its data cannot be looked at: "


async def submit_run(request: SubmitRun, timeline: Timeline, settings: Settings) -> Outcome:
    """Complete and freeze the recipe, or say everything that is wrong with it.

    A run id is taken once: the same request again changes nothing, another one touches neither the run that was
    accepted under the id nor the end of one that was rejected.
    """
    # In a thread: a disk may answer late, and the other consumers must go on.
    accepted = await timeline.last(RunAccepted, request.run_id)
    recipe, violations, licence = await asyncio.to_thread(_checked, request, settings, accepted)
    if recipe is not None and not violations:
        violations = await _violations_of_data(recipe, settings)
    if recipe is not None and accepted is None:  # of one that was accepted, its own checkpoints fill the disk
        violations += disk_violations(recipe, await asyncio.to_thread(free_bytes, settings.store))
    if recipe is not None:
        found = (*worker_violations(recipe, await _pools(timeline)), *_too_long(recipe, request))
        violations = bounded(violations + found + await task_set_violations(recipe, timeline))
    rejected = await timeline.last(RunRejected, request.run_id)
    if rejected is not None and violations != rejected.violations:
        return Reject(f"run {request.run_id} was rejected ({rejected.violations[0]}): submit under a new run id")
    if accepted is not None and violations:
        return Reject(
            f"run {request.run_id} was accepted with another recipe, and this one has faults: {violations[0]}"
        )
    if accepted is not None and recipe is not None and recipe.sha256() != accepted.recipe_sha256:
        return Reject(f"run {request.run_id} was accepted with another recipe: submit this one under a new run id")
    if accepted is not None or rejected is not None:
        return Done()
    if recipe is None or violations:
        return Done((RunRejected(run_id=request.run_id, violations=violations),))
    return Done(
        (
            RunAccepted(
                run_id=request.run_id,
                recipe=recipe.as_json(),
                recipe_sha256=recipe.sha256(),
                priority=request.priority,
                owner=request.owner,
                deadline_unix=time.time() + request.deadline_s if request.deadline_s else 0.0,
                base_licence=one_line(licence),
            ),
        )
    )


def _too_long(recipe: Recipe, request: SubmitRun) -> tuple[str, ...]:
    found, length = [], len(request.run_id)
    if has_curve(recipe) and length > MOST_NAME:
        found.append(f"field 'evaluation.curve' is true and the run's id has {length} letters: at most {MOST_NAME} fit")
    if request.deadline_s > LONGEST_TIMER_S:  # of a later one nobody would hear
        found.append(f"the deadline is {request.deadline_s / DAY_S:,.0f} days away: 29 at most, or leave it out")
    return tuple(found)


async def task_set_violations(recipe: Recipe, log: Log) -> tuple[str, ...]:
    """A recipe can name task sets that are frozen, of which one decides at most."""
    found, primaries = [], []
    for name in recipe.evaluation.task_sets:
        task_set_id, _, version = name.partition("@")
        projector = Projector(("task_sets",))
        async for item in log.read(f"evt.task_set.*.*.{task_set_id}"):
            projector.apply(item)
        known = projector.view("task_sets", task_set_id)["versions"] if projector.keys("task_sets") else {}
        facts = known.get(version, {"frozen_at": "", "primary": ""})
        primaries += [name] if facts["primary"] else []
        if not facts["frozen_at"]:
            verb = "freeze" if version in known else "add"
            remedy = f"`ropewalk taskset {verb}` comes first"
            found.append(f"field 'evaluation.task_sets' names {name}, which is not frozen: {remedy}")
    if len(primaries) > 1:
        found.append(f"field 'evaluation.task_sets' names {' and '.join(primaries)}, which would both decide: name one")
    return tuple(found)


async def _pools(timeline: Timeline) -> dict[str, Resources]:
    declared = await timeline.last(StageCapacity, "train")
    return declared.sizes if declared is not None else {}


def _checked(
    request: SubmitRun, settings: Settings, accepted: RunAccepted | None
) -> tuple[Recipe | None, tuple[str, ...], str]:
    """The complete recipe, what is wrong with it, and the licence of the model that it begins with.

    No recipe where it cannot even be completed. The same request again means the import that it meant before, even if
    another has its name now.
    """
    try:
        recipe, base = resolve_recipe(request.recipe), None
        if is_base_name(recipe.base_model):
            before = str(accepted.recipe.get("base_model", "")) if accepted is not None else ""
            again = before.startswith(f"{recipe.base_model}@")
            base = find_base(settings.store.connect(), before if again else recipe.base_model)
        recipe = with_base(recipe, base)
        violations = recipe_violations(recipe, settings.reach, base=base, any_family=settings.ingest_any_family)
        if not violations and recipe.has_base and request.recipe.get("plan") is None:
            recipe = sized(recipe, base)
        if base is not None or violations or not recipe.has_base:
            return recipe, violations, base.licence if base else ""
        return recipe, violations, declared_licence(Path(recipe.base_location))
    except RecipeError as error:
        return None, error.violations, ""
    except OF_THE_WORK as error:  # whoever submitted it waits for an answer, and every other try would end here too
        return None, (_CANNOT_LOOK + in_one_line(error),), ""


async def _violations_of_data(recipe: Recipe, settings: Settings) -> tuple[str, ...]:
    try:
        found = await run_child(first_look, (recipe.sources, _limits(settings), settings.reach))
        violations = data_violations(recipe, found)
        if recipe.derived.objective == "dpo" and not violations:
            violations = await run_child(look_at_pairs, (recipe, _limits(settings), settings.reach, settings.store))
        if violations or recipe.task is None:
            return violations
        seen = await run_child(look_at_examples, (recipe, _limits(settings), settings.reach))
    except WorkRaisedError as error:
        return (_CANNOT_LOOK + str(error),)
    return task_violations(recipe, seen)


def _limits(settings: Settings) -> Limits:
    return Limits(record_bytes=settings.ingest_record_bytes, segment_bytes=settings.ingest_segment_bytes)


async def cancel_run(request: CancelRun, timeline: Timeline) -> Outcome:
    """Say to everybody that the run is cancelled."""
    if await timeline.last(RunAccepted, request.run_id) is None:
        if await timeline.last(RunRejected, request.run_id) is not None:
            return Done()
        if await timeline.last(SubmitRun, request.run_id) is not None:
            return Retry(1.0, f"run {request.run_id} is submitted but not accepted yet")
        return Reject(f"there is no run {request.run_id} to cancel: `ropewalk runs` lists them")
    for end in (RunCompleted, RunFailed, RunCancelled):
        if await timeline.last(end, request.run_id) is not None:
            return Done()
    return Done((RunCancelled(run_id=request.run_id, mode=request.mode, reason=request.reason),))


async def pause_run(request: PauseRun, timeline: Timeline) -> Outcome:
    """Say to everybody that a run which trains is to wait."""
    standing = await _standing(timeline, request.run_id)
    if standing.why_not_pause():
        return Done()  # whoever asks was told so; or it came about since
    return Done((RunPaused(run_id=request.run_id, stage=PAUSABLE, at_unix=time.time(), reason=request.reason),))


async def resume_run(request: ResumeRun, timeline: Timeline) -> Outcome:
    """Say to everybody that a paused run goes on, and until when."""
    standing = await _standing(timeline, request.run_id)
    if standing.why_not_resume():
        return Done()
    deadline = standing.deadline_after(time.time())
    return Done((RunResumed(run_id=request.run_id, stage=PAUSABLE, deadline_unix=deadline),))


async def submit_smaller(event: GateDecided, timeline: Timeline) -> Outcome:
    """Ask for the smaller runs of a learning curve, once the run that may be promoted is out of their way.

    A decision that was put off is made more than once; the runs are asked for at the first.
    """
    accepted = await timeline.last(RunAccepted, event.run_id)
    if event.look > 1 or accepted is None or not has_curve(recipe := parse_recipe(accepted.recipe)):
        return Done()
    return Done(
        tuple(
            SubmitRun(
                run_id=smaller_id(event.run_id, fraction),
                recipe=smaller(recipe, fraction).as_json(),
                priority=accepted.priority,
                owner=accepted.owner,
            )
            for fraction in FRACTIONS
        )
    )


async def _standing(timeline: Timeline, run_id: str) -> Standing:
    return standing_of([item.message async for item in once(timeline.read(f"evt.run.*.*.{run_id}"))])


async def ingest_sources(ctx: StageContext, accepted: RunAccepted, *, settings: Settings) -> tuple[Message, ...]:
    """Read every source in a child process and pass its facts on as they come."""

    async def emit(fact: tuple[Message, str] | None) -> None:
        if fact is not None:
            message, key = fact
            await ctx.emit(message, key=key)

    job = IngestJob(
        run_id=accepted.run_id,
        sources=ctx.recipe.sources,
        limits=_limits(settings),
        reach=settings.reach,
        store=settings.store,
        scratch=ctx.scratch,
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    corpus: CorpusIngested = await ctx.in_child(ingest_all, job, on_message=emit)
    return (corpus,)
