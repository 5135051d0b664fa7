"""Puts preprocessing together."""

from functools import partial

from ropewalk.events.resources import Resources
from ropewalk.preprocessing import contract
from ropewalk.preprocessing.handlers import FrozenSets, HeldOut, preprocess_corpus
from ropewalk.preprocessing.settings import Settings
from ropewalk.runtime.needs import why_not_reached
from ropewalk.runtime.service import Service


def build(settings: Settings) -> Service:
    """The service, ready to run."""
    service = Service(contract.CONTRACT.service, settings)
    if address := settings.ray_address:
        service.needs.add("ray", lambda: why_not_reached("Ray's head", address))
    service.stage(
        contract.PREPROCESS,
        partial(preprocess_corpus, settings=settings, held_out=HeldOut(), frozen=FrozenSets()),
        needs=lambda _: Resources(cpus=min(settings.preprocessing_workers, settings.pool_room.cpus)),
    )
    return service
