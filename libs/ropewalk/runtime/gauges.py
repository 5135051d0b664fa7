"""What a service exports about itself: how far its consumers are behind and how long its event loop was blocked.

Each service tells of its own consumers, since it may ask about no others. Runs only where something is exported.
"""

import asyncio
from collections.abc import Sequence

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from ropewalk.bus.lag import oldest_s
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.runtime.health import Pulse
from ropewalk.telemetry.metrics import gauge

INTERVAL_S = 15.0  # as often as metrics are sent
_READABLE = "CONTROL"  # a service may not read the messages of other streams, so it cannot tell how old they are


async def export_gauges(connection: Client, consumers: Sequence[ConsumerSpec], pulse: Pulse) -> None:
    """Until cancelled. While the bus is away the last values stay."""
    while True:
        gauge("ropewalk.loop.blocked", pulse.take_worst_s())
        for spec in consumers:
            try:
                await _export_lag(connection, spec)
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
                break
        await asyncio.sleep(INTERVAL_S)


async def _export_lag(connection: Client, spec: ConsumerSpec) -> None:
    context = connection.jetstream(timeout=5)
    info = await context.consumer_info(spec.stream, spec.durable)
    named = {"consumer": spec.durable, "stream": spec.stream}
    gauge("ropewalk.consumer.pending", info.num_pending or 0, **named)
    gauge("ropewalk.consumer.ack_pending", info.num_ack_pending or 0, **named)
    gauge("ropewalk.consumer.redelivered", info.num_redelivered or 0, **named)
    if spec.stream == _READABLE:
        gauge("ropewalk.consumer.oldest", await oldest_s(context, info), **named)
