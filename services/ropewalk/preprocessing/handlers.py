"""The one stage of preprocessing."""

from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested
from ropewalk.preprocessing.adapters.child import preprocess
from ropewalk.preprocessing.adapters.job import Finished, PreprocessJob
from ropewalk.preprocessing.settings import Settings
from ropewalk.runtime.stage import StageContext


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
    )
    finished: Finished = await ctx.in_child(preprocess, job, on_message=emit)
    ctx.add_cpu_seconds(finished.worker_cpu_seconds)
    return (finished.dataset,)
