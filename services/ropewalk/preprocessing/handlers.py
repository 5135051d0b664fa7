"""The one stage of preprocessing."""

from ropewalk.bus.codec import Stored
from ropewalk.bus.once import RunningFold, Timeline
from ropewalk.events.base import Message
from ropewalk.events.data import BaseModelAsked, CorpusIngested, DatasetPublished
from ropewalk.events.run import RunAccepted
from ropewalk.events.task_set import TaskSetFrozen
from ropewalk.preprocessing.adapters.job import PreprocessJob, preprocess
from ropewalk.preprocessing.settings import Settings
from ropewalk.projections.task_sets import standings
from ropewalk.stages.context import StageContext


class HeldOut:
    """What runs of a model held out, as their published datasets say it."""

    def __init__(self) -> None:
        subject = f"{DatasetPublished.subject_prefix()}.*"
        self._datasets = RunningFold[list[DatasetPublished]]([], _with, subject)
        self._models: dict[str, str] = {}  # of runs of before there was a registry: their datasets name no model

    async def before(self, log: Timeline, model: str, run_id: str) -> tuple[str, ...]:
        """Where the documents lie that other runs of a model held out, each place once, in the order of the log."""
        found: dict[str, None] = {}
        for dataset in await self._datasets.now(log):
            if dataset.run_id != run_id and (uri := await self._of(log, dataset, model)):
                found[uri] = None
        return tuple(found)

    async def _of(self, log: Timeline, dataset: DatasetPublished, model: str) -> str:
        """What a run added to the registry; a run of before there was one had held out all that it was judged on."""
        if dataset.model:
            return dataset.held_out_uri if dataset.model == model else ""
        if dataset.run_id not in self._models:
            accepted = await log.last(RunAccepted, dataset.run_id)
            self._models[dataset.run_id] = _model_of(accepted) if accepted else ""
        return dataset.evalset_uri if self._models[dataset.run_id] == model else ""


class FrozenSets:
    """Which task sets are frozen, each version as it was frozen first."""

    def __init__(self) -> None:
        self._facts = RunningFold[list[Message]](
            [], lambda facts, item: facts.append(item.message), f"{TaskSetFrozen.subject_prefix()}.*"
        )

    async def now(self, log: Timeline) -> tuple[tuple[str, str], ...]:
        """Names and contents, sorted."""
        known = standings(await self._facts.now(log)).items()
        return tuple(sorted((f"{name}@{version}", each.frozen) for (name, version), each in known))


async def preprocess_corpus(
    ctx: StageContext, corpus: CorpusIngested, *, settings: Settings, held_out: HeldOut, frozen: FrozenSets
) -> tuple[Message, ...]:
    """Run the Ray driver in a child process and pass its facts on as they come."""

    async def emit(fact: tuple[Message, str] | None) -> None:
        if fact is not None:
            message, key = fact
            again = f"/{ctx.epoch}.{ctx.attempt}" if isinstance(message, BaseModelAsked) else ""  # each attempt anew
            await ctx.emit(message, key=key + again)

    job = PreprocessJob(
        run_id=corpus.run_id,
        segments=corpus.segments,
        recipe=ctx.recipe,
        store=settings.store,
        scratch=ctx.scratch,
        ray_address=settings.ray_address,
        num_workers=settings.preprocessing_workers,
        base_minutes=settings.preprocessing_base_minutes,
        held_out_before=await held_out.before(ctx.bus, ctx.recipe.model, corpus.run_id),
        task_sets=await frozen.now(ctx.bus),
    )
    dataset, worker_cpu_seconds = await ctx.in_child(preprocess, job, on_message=emit)
    ctx.add_cpu_seconds(worker_cpu_seconds)
    return (dataset,)


def _with(datasets: list[DatasetPublished], item: Stored[Message]) -> None:
    if isinstance(item.message, DatasetPublished):
        datasets.append(item.message)


def _model_of(accepted: RunAccepted) -> str:
    """The model of a recipe as it is in the log, whose other fields may be those of another version."""
    promotion = accepted.recipe.get("promotion")
    named = promotion.get("model") if isinstance(promotion, dict) else ""
    return str(named or accepted.recipe.get("name", ""))
