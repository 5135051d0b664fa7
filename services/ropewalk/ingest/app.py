"""Puts ingest together."""

from functools import partial

from ropewalk.ingest import contract, handlers
from ropewalk.ingest.settings import Settings
from ropewalk.runtime.service import Service


def build(settings: Settings) -> Service:
    """The service, ready to run."""
    service = Service(contract.CONTRACT.service, settings)
    service.on(contract.SUBMIT, lambda request: handlers.submit_run(request, service.bus, settings))
    service.on(contract.CANCEL, lambda request: handlers.cancel_run(request, service.bus))
    service.on(contract.PAUSE, lambda request: handlers.pause_run(request, service.bus))
    service.on(contract.RESUME, lambda request: handlers.resume_run(request, service.bus))
    service.on(contract.CURVE, lambda gate: handlers.submit_smaller(gate, service.bus))
    service.stage(contract.INGEST, partial(handlers.ingest_sources, settings=settings))
    return service
