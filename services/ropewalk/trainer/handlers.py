"""What the trainer does when a dataset version was published and when a search ended."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ropewalk.bus.codec import Stored
from ropewalk.bus.once import once
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointPruned, CheckpointQuarantined, CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.data import DatasetPublished, TokenizerTrained
from ropewalk.events.run import StageStarted
from ropewalk.events.training import (
    RungReached,
    SamplesLeftOut,
    SearchCompleted,
    StepsCommitted,
    StepSkipped,
    TimeAccount,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingRolledBack,
    TrainingStarted,
    TrainingValidated,
)
from ropewalk.recipes.ladder import num_trials
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError
from ropewalk.stages.pausing import is_paused
from ropewalk.telemetry.metrics import gauge
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.adapters.reports import (
    ClusterSpec,
    CpuUsed,
    FromWorkers,
    SearchJob,
    SlowRank,
    TrainingJob,
    TrainingReport,
)
from ropewalk.trainer.adapters.validations import Validations
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, Started, StepsDone
from ropewalk.trainer.domain.goodput import Goodput
from ropewalk.trainer.domain.quoting import training_quoted
from ropewalk.trainer.domain.recovery import Loss
from ropewalk.trainer.domain.search import (
    NoTrialSucceededError,
    ended_trials,
    learning_rates,
    search_completed,
)
from ropewalk.trainer.domain.story import GroupFacts, Past, Story, Told, past_of
from ropewalk.trainer.settings import Settings

logger = logging.getLogger(__name__)
R = TypeVar("R")

_NOTHING_TO_VALIDATE = (
    "training.early_stop or training.export asks for the validation loss, but the dataset keeps no documents to watch "
    "training by, which takes 80 of them: leave the field out, or use training.patience"
)
_TOLD_OF_THE_PAST: tuple[type[Message], ...] = (
    StageStarted,
    TrainingStarted,
    TrainingInterrupted,
    CheckpointSaved,
    CheckpointQuarantined,
    CheckpointPruned,
    StepsCommitted,
)


async def search(context: StageContext, event: DatasetPublished, settings: Settings) -> tuple[Message, ...]:
    """Try learning rates on short trainings. Raises StageError if no trial ended well."""
    if num_trials(context.recipe) == 0:
        return (search_completed(context.run_id, context.recipe, ()),)
    past = context.bus.read(f"{RungReached.subject_prefix()}.{context.run_id}")
    journal = [stored.message async for stored in once(past) if isinstance(stored.message, RungReached)]
    job = SearchJob(
        run_id=context.run_id,
        epoch=context.epoch,
        recipe=context.recipe,
        dataset_uri=event.uri,
        dataset_version=event.dataset_version,
        tokenizer_uri=event.tokenizer_uri,
        store=settings.store,
        scratch=context.scratch,
        parallel=settings.training.parallel_trials,
        journal=tuple(journal),
        cluster=_cluster(settings, settings.training.parallel_trials),
    )

    async def tell_ended() -> None:
        for trial in ended_trials(context.recipe, journal):
            if trial.trial not in told:
                told.add(trial.trial)
                await context.emit(trial, str(trial.trial))

    async def on_report(report: RungReached | CpuUsed) -> None:
        match report:
            case RungReached():
                journal.append(report)
                await context.emit(report, f"{report.trial}/{report.rung}")
                await tell_ended()
            case CpuUsed(seconds):
                context.add_cpu_seconds(seconds)

    told: set[int] = set()
    await tell_ended()  # an earlier holder may have ended between a rung and what follows from it
    await _unless_cancelled(context, context.in_child(entry.search, job, on_report))
    try:
        return (search_completed(context.run_id, context.recipe, journal),)
    except NoTrialSucceededError as error:
        raise StageError(str(error)) from None


async def train(context: StageContext, event: SearchCompleted, settings: Settings) -> tuple[Message, ...]:
    """Train to the last step, through any number of lost workers. Raises StageError when that makes no sense."""
    began = time.time()
    dataset = await context.bus.last(DatasetPublished, context.run_id)
    assert dataset is not None, "a search needs a dataset"
    if not dataset.num_dev and (context.recipe.derived.early_stop or context.recipe.derived.export == "best"):
        raise StageError(_NOTHING_TO_VALIDATE)
    past = await _past(context)
    goodput = Goodput(began=past.account_at or past.first_sign or began, before=past.account)
    story = Story(run_id=context.run_id, epoch=context.epoch, recipe=context.recipe, past=past, goodput=goodput)
    await _tell(context, story.opening())
    if not past.first_sign:
        tokenizer = await context.bus.last(TokenizerTrained, context.run_id)
        rate = tokenizer.bytes_per_token if tokenizer else 0.0
        await context.emit(training_quoted(context.run_id, context.recipe, dataset.num_tokens, rate), "quote")

    async def on_report(report: TrainingReport) -> None:
        if isinstance(report, CpuUsed):
            context.add_cpu_seconds(report.seconds)
        else:
            await _tell(context, told_by(story, report))

    job, validations = _training_job(context, event, dataset, past, settings), Validations(context)
    asking = (_ask_to_stop(context, job.stop_file), validations.stop_early(job.stop_file))
    stops = [asyncio.create_task(each) for each in asking]
    try:
        finished = await context.in_child(entry.train, job, on_report)
    finally:
        for each in stops:
            each.cancel()
    if context.cancelled.is_set():
        await _tell_if_paused(context, story, finished.step)
        raise asyncio.CancelledError
    context.progressed()
    finished = await validations.chosen(finished)
    seconds, account = time.time() - (past.first_sign or began), goodput.ended(time.time(), finished.spent)
    return (_completed(context.run_id, finished, seconds, account),)


def _completed(run_id: str, finished: Finished, seconds: float, account: TimeAccount) -> TrainingCompleted:
    return TrainingCompleted(
        run_id=run_id,
        checkpoint_id=finished.checkpoint_id,
        uri=finished.uri,
        step=finished.step,
        loss=finished.loss,
        tokens=finished.tokens,
        seconds=seconds,
        stopped_by=finished.stopped_by,
        account=account,
        num_steps=finished.num_steps,
    )


def told_by(story: Story, report: TrainingReport) -> list[Told]:
    """The events that a report of the child means."""
    match report:
        case FromWorkers(attempt, Started() as started):
            return story.group_started(
                attempt,
                started.worker_pids,
                started.resume_step,
                started.resumed_checkpoint_id,
                GroupFacts(num_parameters=started.num_parameters, device=started.device, yardstick=started.yardstick),
            )
        case FromWorkers(_, StepsDone(rows=rows)):
            return story.steps_taken(rows)
        case FromWorkers(
            attempt, TrainingValidated() | StepSkipped() | SamplesLeftOut() | TrainingRolledBack() as event
        ):
            return story.happened(attempt, event)
        case CheckpointWritten(saved, committed, rows) | FromWorkers(_, CheckpointWritten(saved, committed, rows)):
            return story.checkpoint_saved(saved, committed, rows)
        case FromWorkers(attempt, CheckpointSaveFailed() as failed):
            logger.warning("checkpoint of step %d not written: %s", failed.step, failed.reason)
            return story.save_failed(attempt, failed)
        case CheckpointQuarantined():
            return story.checkpoint_broken(report)
        case Loss():
            return story.group_lost(report)
        case SlowRank(attempt, slow):
            return story.straggler_found(attempt, slow)
    return []


def _training_job(
    context: StageContext, event: SearchCompleted, dataset: DatasetPublished, past: Past, settings: Settings
) -> TrainingJob:
    matrix_lr, adam_lr = learning_rates(context.recipe.derived, event.params)
    return TrainingJob(
        run_id=context.run_id,
        epoch=context.epoch,
        first_attempt=past.last_attempt + 1,
        announced=past.saved,
        gone=past.gone,
        recipe=context.recipe,
        dataset_uri=dataset.uri,
        dataset_version=dataset.dataset_version,
        tokenizer_uri=dataset.tokenizer_uri,
        evalset_uri=dataset.evalset_uri,
        store=settings.store,
        scratch=context.scratch,
        matrix_lr=matrix_lr,
        adam_lr=adam_lr,
        stop_file=context.scratch / "stop",
        stall_s=settings.training.stall_s,
        spent_s=past.spent_s,
        cluster=_cluster(settings, context.recipe.num_workers),
    )


async def _past(context: StageContext) -> Past:
    caps, events = context.recipe.caps, list[Stored[Message]]()
    timed = caps.minutes is not None or caps.usd is not None
    for kind in (*_TOLD_OF_THE_PAST, *((TrainingProgressed,) if timed else ())):
        events += [item async for item in once(context.bus.read(f"{kind.subject_prefix()}.{context.run_id}"))]
    events = [item for item in events if getattr(item.message, "stage", context.stage) == context.stage]
    if not timed and (progressed := await context.bus.last_stored(TrainingProgressed, context.run_id)):
        events.append(progressed)  # the earlier ones tell only what was spent
    events.sort(key=lambda item: item.sequence)
    past, now = past_of([(item.message, item.time.timestamp()) for item in events]), time.time()
    # The time of a pause was not lost, and is no part of the account.
    return replace(past, account_at=now, last_sign=now) if past.paused else past


async def _tell_if_paused(context: StageContext, story: Story, step: int) -> None:
    if await is_paused(context.bus, context.stage, context.run_id):
        await _tell(context, story.paused(step))


async def _tell(context: StageContext, told: list[Told]) -> None:
    for message, key in told:
        await context.emit(message, key)
        _measure(message)


def _measure(told: Message) -> None:
    """Values of the training that moved on last, since a label per run would have no bound."""
    match told:
        case TrainingProgressed(account=account):
            gauge("ropewalk.training.progressed", time.time())
            gauge("ropewalk.training.step", told.step)
            gauge("ropewalk.training.loss", told.loss)
            gauge("ropewalk.training.tokens", told.tokens_per_s)
            gauge("ropewalk.training.left", told.seconds_left)
            gauge("ropewalk.training.goodput", account.step_s / account.wall_s if account.wall_s else 0.0)
        case CheckpointSaved():
            gauge("ropewalk.checkpoint.saved", time.time())


async def _ask_to_stop(context: StageContext, stop_file: Path) -> None:
    """When the run is cancelled or paused: the workers look for this file at every step, save and finish."""
    await context.cancelled.wait()
    stop_file.touch()


async def _unless_cancelled(context: StageContext, work: Coroutine[Any, Any, R]) -> R:
    """The result of the work; if the run is cancelled meanwhile, the work is ended and CancelledError raised."""
    task = asyncio.ensure_future(work)
    cancelled = asyncio.ensure_future(context.cancelled.wait())
    try:
        await asyncio.wait((task, cancelled), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise asyncio.CancelledError
        return task.result()
    finally:
        cancelled.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


def _cluster(settings: Settings, num_workers: int) -> ClusterSpec:
    return ClusterSpec(
        address=settings.training.ray_address,
        num_cpus=max(2, num_workers),
        temporary=settings.ray_tmp,
    )
