"""The composition root of the trainer."""

from functools import partial

from ropewalk.events.data import DatasetPublished
from ropewalk.events.training import SearchCompleted
from ropewalk.runtime.service import Service
from ropewalk.trainer import handlers
from ropewalk.trainer.domain.search import num_trials
from ropewalk.trainer.settings import Settings


def build(settings: Settings) -> Service:
    """Wire the service; nothing happens before its `run`."""
    service = Service("trainer", settings)
    service.stage(
        "search",
        DatasetPublished,
        partial(handlers.search, settings=settings),
        cpus=lambda recipe: min(float(num_trials(recipe)), settings.training.parallel_trials, settings.pool_capacity),
    )
    service.stage(
        "train",
        SearchCompleted,
        partial(handlers.train, settings=settings),
        cpus=lambda recipe: float(recipe.num_workers),
        stall_s=3 * settings.training.stall_s,  # the controller of the workers notices first, and costs less
    )
    return service
