"""Puts ingest together."""

from functools import partial

from ropewalk.events.run import CancelRun, RunAccepted, SubmitRun
from ropewalk.ingest import handlers
from ropewalk.ingest.settings import Settings
from ropewalk.runtime.service import Service


def build(settings: Settings) -> Service:
    """The service, ready to run."""
    service = Service("ingest", settings)
    service.on(SubmitRun, lambda request: handlers.submit_run(request, service.bus, settings), purpose="submit")
    service.on(CancelRun, lambda request: handlers.cancel_run(request, service.bus), purpose="cancel")
    service.stage("ingest", RunAccepted, partial(handlers.ingest_sources, settings=settings))
    return service
