"""What the evaluator does about each event."""

import asyncio
from pathlib import Path

from ropewalk.bus.once import RunningFold
from ropewalk.evaluator.adapters.measuring import Measured, MeasuringJob, Opponent, measure
from ropewalk.evaluator.adapters.reports import publish_report, read_report, report_key
from ropewalk.evaluator.domain.estimates import BASE, PRODUCTION
from ropewalk.evaluator.domain.gate import Evidence, decide
from ropewalk.evaluator.domain.metric import Effort
from ropewalk.evaluator.domain.promotions import Promotions
from ropewalk.evaluator.domain.report import EvaluationReport
from ropewalk.evaluator.domain.roles import GATES
from ropewalk.evaluator.settings import ComputeSettings
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointExported, ModelPromoted
from ropewalk.events.data import DatasetPublished
from ropewalk.events.evaluation import EvaluationStarted
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError

BASE_MODEL = "the base model"


async def evaluate_checkpoint(
    ctx: StageContext, event: CheckpointExported, compute: ComputeSettings, promotions: RunningFold[Promotions]
) -> tuple[Message, ...]:
    """Measure an export and decide; a report that is already sealed is not made again."""
    key = report_key(event.checkpoint_id)
    # A redelivered event, or another instance after a crash, finds the sealed report and says the same again.
    earlier = await asyncio.to_thread(read_report, ctx.objects, key)
    if earlier is not None:
        return earlier.events(key)
    await ctx.emit(EvaluationStarted(run_id=ctx.run_id, checkpoint_id=event.checkpoint_id), key=event.checkpoint_id)
    dataset = await ctx.bus.last(DatasetPublished, ctx.run_id)
    if dataset is None:
        raise StageError(f"run {ctx.run_id} has no published dataset, so there is nothing held out to judge by")
    production = (await promotions.now(ctx.bus)).production(ctx.recipe.model, event.checkpoint_id)
    if production is not None and not await asyncio.to_thread(ctx.objects.exists, production.export_uri):
        production = None  # its export was removed: as if there were none
    opponent = await _opponent(ctx, production)
    # Torch and the models live in a child: its memory goes with it, and a crash there is a failed stage only.
    job = await _job(ctx, event, dataset, opponent, compute)
    measured = await ctx.in_child(measure, job)
    report = _report(ctx, event, dataset, opponent, measured)
    folder = ctx.scratch / "report"
    await asyncio.to_thread(publish_report, ctx.objects, folder, report, measured.scores, measured.samples)
    return report.events(key)


async def _opponent(ctx: StageContext, production: ModelPromoted | None) -> Opponent | None:
    """What the candidate must beat: production, else the base it was made from, else nothing but n-grams."""
    if production is not None:
        folder = await asyncio.to_thread(ctx.objects.fetch, production.export_uri)
        name = f"{production.model}@{production.model_version}"
        dataset = await _dataset_of(ctx, production.run_id)
        return Opponent(column=PRODUCTION, name=name, uri=production.export_uri, model=str(folder), dataset=dataset)
    if ctx.recipe.mode == "finetune":
        return Opponent(column=BASE, name=BASE_MODEL, uri=ctx.recipe.base_model, model=ctx.recipe.base_location)
    return None


async def _dataset_of(ctx: StageContext, run_id: str) -> Path | None:
    """What a model learnt from; None where nobody can tell any more."""
    dataset = await ctx.bus.last(DatasetPublished, run_id)
    if dataset is None or not await asyncio.to_thread(ctx.objects.exists, dataset.uri):
        return None
    return await asyncio.to_thread(ctx.objects.fetch, dataset.uri)


async def _job(
    ctx: StageContext,
    event: CheckpointExported,
    dataset: DatasetPublished,
    opponent: Opponent | None,
    compute: ComputeSettings,
) -> MeasuringJob:
    fetch = ctx.objects.fetch
    return MeasuringJob(
        checkpoint_id=event.checkpoint_id,
        export=await asyncio.to_thread(fetch, event.uri),
        dataset=await asyncio.to_thread(fetch, dataset.uri),
        evalset=await asyncio.to_thread(fetch, dataset.evalset_uri),
        opponent=opponent,
        gate=ctx.recipe.evaluation.gate,
        effort=Effort(ctx.recipe.seed, ctx.recipe.evaluation.num_completions if ctx.recipe.profile == "code" else 0),
        threads=compute.threads,
    )


def _report(
    ctx: StageContext,
    event: CheckpointExported,
    dataset: DatasetPublished,
    opponent: Opponent | None,
    measured: Measured,
) -> EvaluationReport:
    evidence = Evidence(
        estimates=measured.estimates,
        rules=GATES[ctx.recipe.evaluation.gate],
        margin=ctx.recipe.evaluation.margin,
        opponent=measured.opponent,
        num_held_out=measured.num_held_out,
        num_seen=measured.num_seen,
        is_model=opponent is not None and opponent.column == PRODUCTION,
    )
    decision = decide(evidence)
    return EvaluationReport(
        run_id=ctx.run_id,
        checkpoint_id=event.checkpoint_id,
        export_uri=event.uri,
        dataset_version=dataset.dataset_version,
        evalset_uri=dataset.evalset_uri,
        recipe_sha256=ctx.recipe.sha256(),
        seed=ctx.recipe.seed,
        num_bytes=sum(row.num_bytes for row in measured.judged),
        num_files=len({row.cluster for row in measured.judged}),
        num_documents=len(measured.judged),
        num_held_out=measured.num_held_out,
        num_seen_by_opponent=measured.num_seen,
        gate=ctx.recipe.evaluation.gate,
        num_baseline_tokens=measured.num_baseline_tokens,
        estimates=tuple(each for each in measured.estimates if each.role != "primary"),  # that one is `comparison`
        baseline=measured.opponent,
        baseline_export_uri=opponent.uri if opponent else "",
        comparison=evidence.gain,
        margin=evidence.margin,
        decision=decision.decision,
        reasons=decision.reasons,
    )
