"""The composition root of serving."""

import asyncio
import contextlib

from ropewalk.events.resources import Resources
from ropewalk.runtime.needs import why_no_answer
from ropewalk.runtime.service import Service
from ropewalk.serving import contract
from ropewalk.serving.adapters.backends import KINDS
from ropewalk.serving.adapters.doors.over_grpc import serve_grpc
from ropewalk.serving.adapters.doors.over_http import HttpDoor
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.adapters.gateway.app import Gateway
from ropewalk.serving.adapters.gateway.server import serve
from ropewalk.serving.adapters.request_log import RequestLogPublisher
from ropewalk.serving.adapters.spool import Spool
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.keys import INTERNAL, KeyRing
from ropewalk.serving.handlers import Handlers
from ropewalk.serving.settings import GatewaySettings, Settings

_TO_END_S = 2  # of the grace of a stop: to close what the doors needed


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)

    async def on_repaired(target: str, cause: str, seconds: float) -> None:
        await handlers.report_repair(service.bus, target, cause, seconds)

    backends = {name: kind(settings, on_repaired) for name, kind in KINDS.items()}
    fleet = Fleet(backends, service.objects)
    admission = Admission(settings.gateway.max_in_flight, service.is_stopping)
    handlers = Handlers(settings, fleet, admission)
    asked = settings.gateway
    folder = settings.state_dir / "serving" / "request-log"
    spool = Spool(folder, asked.log_spool_bytes, asked.log_rows_in_memory)
    sink = RequestLogPublisher(spool)
    service.measures(spool.measure)
    service.measures(fleet.measure)
    keys = key_ring(asked)
    gateway = Gateway(fleet, keys, admission, sink, asked.max_body_bytes)

    async def endpoint() -> None:
        # The doors are closed first: what they still answer needs the backends.
        async with contextlib.AsyncExitStack() as opened, asyncio.TaskGroup() as tasks:
            for backend in backends.values():
                await opened.enter_async_context(backend)
            tasks.create_task(_open_doors(settings, gateway, keys, admission))
            tasks.create_task(sink.run(service.bus))
            await handlers.restore(service.bus)
            tasks.create_task(fleet.watch())
            tasks.create_task(handlers.follow(service.bus))

    socket = settings.sockets.http
    service.needs.add("triton", lambda: why_no_answer("Triton", "http://triton", "/v2/health/live", socket))
    service.background(endpoint)
    service.lingers(asked.drain_s)
    service.stage(
        contract.DEPLOY, handlers.deploy, when=lambda gate: gate.decision == "promote", needs=lambda _: Resources()
    )
    # One worker: one alias, one decision at a time.
    service.on(contract.PROMOTE, lambda event: handlers.promote(event, service.bus), workers=1)
    service.on(contract.ROLL_BACK, lambda event: handlers.roll_back(event, service.bus), workers=1)
    service.on(contract.RETIRE, lambda request: handlers.retire(request, service.bus), workers=1)
    service.on(contract.ABANDON, lambda event: handlers.abandon(event.run_id, service.bus))
    service.on(contract.ABANDON_CANCELLED, lambda event: handlers.abandon(event.run_id, service.bus))
    return service


async def _open_doors(settings: Settings, gateway: Gateway, keys: KeyRing, admission: Admission) -> None:
    """Serve the gateway, and Triton's own protocols for holders of a key, until cancelled."""
    limit, host, triton = settings.gateway.max_body_bytes, settings.gateway.host, settings.triton
    most = settings.gateway.max_in_flight
    grace_s = max(1, int(settings.stop_grace_s - settings.gateway.drain_s) - _TO_END_S)
    async with HttpDoor(settings.sockets, keys, admission, limit) as http_door, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(gateway.app(), host, settings.gateway.port, grace_s=grace_s))
        tasks.create_task(
            serve(http_door.app(), host, triton.http, setting="ROPEWALK_SERVING_TRITON_HTTP", grace_s=grace_s)
        )
        address = f"{host}:{triton.grpc}"
        grpc_door = serve_grpc(
            settings.sockets, keys, address, max_message_bytes=limit, max_streams=most, grace_s=grace_s
        )
        tasks.create_task(grpc_door)


def key_ring(settings: GatewaySettings) -> KeyRing:
    """All API keys. Raises OSError or KeyFileError for a keys file that cannot be used."""
    file_text = settings.keys_file.read_text() if settings.keys_file else ""
    return KeyRing.of({"demo": settings.demo_key, INTERNAL: settings.internal_key}, file_text)
