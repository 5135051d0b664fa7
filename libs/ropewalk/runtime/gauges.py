"""What a service exports about itself: whether it is well, how far its consumers are behind, what room it has.

Each service tells of its own consumers, since it may ask about no others. Runs only where something is exported.
"""

import asyncio
import shutil
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from ropewalk.bus.bus import Bus
from ropewalk.bus.lag import oldest_s
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.runtime.health import Health
from ropewalk.telemetry.metrics import gauge

INTERVAL_S = 15.0  # as often as metrics are sent
_READABLE = "CONTROL"  # a service may not read the messages of other streams, so it cannot tell how old they are


async def export_gauges(
    bus: Bus, consumers: Sequence[ConsumerSpec], health: Health, folder: Path, more: Iterable[Callable[[], None]]
) -> None:
    """Until cancelled. While the bus is away the last values of its queues stay. `folder` is on the disk looked at."""
    while True:
        _export_state(bus, health, folder)
        for measure in more:
            measure()
        for spec in consumers:
            try:
                await _export_lag(bus.connection, spec)
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
                break
        await asyncio.sleep(INTERVAL_S)


def _export_state(bus: Bus, health: Health, folder: Path) -> None:
    gauge("ropewalk.service.heartbeat", time.time())
    gauge("ropewalk.service.ready", health.report().ready)
    gauge("ropewalk.loop.blocked", health.pulse.take_worst_s())
    gauge("ropewalk.bus.connected", bus.connection.is_connected)
    gauge("ropewalk.bus.unsent", bus.waiting.summary().num_sends)
    if ends := bus.connection.certificate.get("notAfter"):
        gauge("ropewalk.bus.certificate", ssl.cert_time_to_seconds(str(ends)))
    if folder.exists():
        disk = shutil.disk_usage(folder)
        gauge("ropewalk.disk.free", disk.free)
        gauge("ropewalk.disk.size", disk.total)


async def _export_lag(connection: Client, spec: ConsumerSpec) -> None:
    context = connection.jetstream(timeout=5)
    info = await context.consumer_info(spec.stream, spec.durable)
    named = {"consumer": spec.durable, "stream": spec.stream}
    gauge("ropewalk.consumer.pending", info.num_pending or 0, **named)
    gauge("ropewalk.consumer.ack_pending", info.num_ack_pending or 0, **named)
    gauge("ropewalk.consumer.redelivered", info.num_redelivered or 0, **named)
    if spec.stream == _READABLE:
        gauge("ropewalk.consumer.oldest", await oldest_s(context, info), **named)
