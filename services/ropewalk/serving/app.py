"""The composition root of serving."""

import asyncio

from ropewalk.delivery.outcome import Outcome
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ModelPromoted
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.run import RunCancelled, RunFailed
from ropewalk.events.serving import RetireModel
from ropewalk.runtime.service import Service
from ropewalk.serving import contract
from ropewalk.serving.adapters.doors.over_grpc import serve_grpc
from ropewalk.serving.adapters.doors.over_http import HttpDoor
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.adapters.gateway.app import Gateway
from ropewalk.serving.adapters.gateway.server import serve
from ropewalk.serving.adapters.request_log import RequestLogPublisher
from ropewalk.serving.adapters.spool import Spool
from ropewalk.serving.adapters.triton_client import TritonInference
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.keys import KeyRing
from ropewalk.serving.handlers import Handlers
from ropewalk.serving.settings import GatewaySettings, Settings
from ropewalk.stages.context import StageContext


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)

    async def on_repaired(target: str, cause: str, seconds: float) -> None:
        await handlers.report_repair(service.bus, target, cause, seconds)

    inference = TritonInference(settings, on_repaired)
    fleet = Fleet(inference, service.objects)
    admission = Admission(settings.gateway.max_in_flight)
    handlers = Handlers(settings, fleet, inference, admission)
    spool = Spool(
        settings.state_dir / "serving" / "request-log",
        settings.gateway.log_spool_bytes,
        settings.gateway.log_rows_in_memory,
    )
    sink = RequestLogPublisher(spool)
    keys = key_ring(settings.gateway)
    limit = settings.gateway.max_body_bytes
    gateway = Gateway(fleet, inference, keys, admission, sink, limit)
    http_door = HttpDoor(settings.sockets, keys, admission, limit)
    host, triton = settings.gateway.host, settings.triton

    async def endpoint() -> None:
        async with inference, http_door, asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(gateway.app(), host, settings.gateway.port))
            tasks.create_task(serve(http_door.app(), host, triton.http, setting="ROPEWALK_SERVING_TRITON_HTTP"))
            tasks.create_task(
                serve_grpc(
                    settings.sockets,
                    keys,
                    f"{host}:{triton.grpc}",
                    max_message_bytes=limit,
                    max_streams=settings.gateway.max_in_flight,
                )
            )
            tasks.create_task(sink.run(service.bus))
            await handlers.restore(service.bus)
            tasks.create_task(fleet.watch())

    async def deploy(ctx: StageContext, event: GateDecided) -> tuple[Message, ...]:
        return await handlers.deploy(ctx, event)

    async def promote(event: ModelPromoted) -> Outcome:
        return await handlers.promote(event, service.bus)

    async def retire(request: RetireModel) -> Outcome:
        return await handlers.retire(request, service.bus)

    async def abandon(event: RunFailed | RunCancelled) -> Outcome:
        return await handlers.abandon(event.run_id)

    service.background(endpoint)
    service.stage(contract.DEPLOY, deploy, when=lambda gate: gate.decision == "promote", cpus=lambda _: 0.0)
    service.on(contract.PROMOTE, promote, workers=1)  # one alias, one decision at a time
    service.on(contract.RETIRE, retire, workers=1)
    service.on(contract.ABANDON, abandon)
    service.on(contract.ABANDON_CANCELLED, abandon)
    return service


def key_ring(settings: GatewaySettings) -> KeyRing:
    """All API keys. Raises OSError or KeyFileError for a keys file that cannot be used."""
    file_text = settings.keys_file.read_text() if settings.keys_file else ""
    return KeyRing.of({"demo": settings.demo_key, "internal": settings.internal_key}, file_text)
