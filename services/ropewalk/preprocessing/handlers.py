"""The one stage of preprocessing."""

from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested, DatasetPublished
from ropewalk.events.run import RunAccepted
from ropewalk.preprocessing.adapters.child import preprocess
from ropewalk.preprocessing.adapters.job import DriverResult, PreprocessJob
from ropewalk.preprocessing.ports import Log
from ropewalk.preprocessing.settings import Settings
from ropewalk.stages.context import StageContext


async def preprocess_corpus(ctx: StageContext, corpus: CorpusIngested, *, settings: Settings) -> tuple[Message, ...]:
    """Run the Ray driver in a child process and pass its facts on as they come."""

    async def emit(fact: tuple[Message, str]) -> None:
        message, key = fact
        await ctx.emit(message, key=key)

    job = PreprocessJob(
        run_id=corpus.run_id,
        segments=corpus.segments,
        recipe=ctx.recipe,
        store=settings.store,
        scratch=ctx.scratch,
        ray_address=settings.ray_address,
        num_workers=settings.preprocessing_workers,
        held_out_before=await held_out_before(ctx.bus, ctx.recipe.model, corpus.run_id),
    )
    finished: DriverResult = await ctx.in_child(preprocess, job, on_message=emit)
    ctx.add_cpu_seconds(finished.worker_cpu_seconds)
    return (finished.dataset,)


async def held_out_before(log: Log, model: str, run_id: str) -> tuple[str, ...]:
    """Where the documents lie that other runs of a model held out, each place once, in the order of the log."""
    found: dict[str, None] = {}
    async for stored in log.read(f"{DatasetPublished.subject_prefix()}.*"):
        match stored.message:
            case DatasetPublished(run_id=other) as dataset if other != run_id:
                if uri := await _held_out_by(log, dataset, model):
                    found[uri] = None
    return tuple(found)


async def _held_out_by(log: Log, dataset: DatasetPublished, model: str) -> str:
    """What a run added to the registry; a run of before there was one had held out all that it was judged on."""
    if dataset.model:
        return dataset.held_out_uri if dataset.model == model else ""
    accepted = await log.last(RunAccepted, dataset.run_id)
    return dataset.evalset_uri if accepted is not None and _model_of(accepted) == model else ""


def _model_of(accepted: RunAccepted) -> str:
    """The model of a recipe as it is in the log, whose other fields may be those of another version."""
    promotion = accepted.recipe.get("promotion")
    named = promotion.get("model") if isinstance(promotion, dict) else ""
    return str(named or accepted.recipe.get("name", ""))
