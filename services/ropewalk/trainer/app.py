"""The composition root of the trainer."""

from functools import partial

from ropewalk.events.resources import Resources
from ropewalk.recipes.ladder import num_trials
from ropewalk.runtime.needs import why_not_reached
from ropewalk.runtime.service import Service
from ropewalk.trainer import contract, handlers
from ropewalk.trainer.settings import Settings


def build(settings: Settings) -> Service:
    """Wire the service; nothing happens before its `run`."""
    service = Service(contract.CONTRACT.service, settings)
    if address := settings.training.ray_address:
        service.needs.add("ray", lambda: why_not_reached("Ray's head", address))
    service.stage(
        contract.SEARCH,
        partial(handlers.search, settings=settings),
        needs=lambda recipe: Resources(
            cpus=min(num_trials(recipe), settings.training.parallel_trials, settings.pool_room.cpus),
            gpus=min(1, num_trials(recipe), recipe.training_needs.gpus),  # trials share one
            gpu_kind=recipe.gpu_kind,
        ),
    )
    service.stage(
        contract.TRAIN,
        partial(handlers.train, settings=settings),
        needs=lambda recipe: recipe.training_needs,
        stall_s=3 * settings.training.stall_s,  # the controller of the workers notices first, and costs less
    )
    return service
