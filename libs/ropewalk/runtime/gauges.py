"""What a service exports about itself: how far its consumers are behind and how long its event loop was blocked.

Each service tells of its own consumers, since it may ask about no others. Runs only where something is exported.
"""

import asyncio
from collections.abc import Sequence

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from ropewalk.bus.lag import lag_of
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
    lag = await lag_of(connection, spec.stream, spec.durable, with_age=spec.stream == _READABLE)
    named = {"consumer": lag.consumer, "stream": lag.stream}
    gauge("ropewalk.consumer.pending", lag.pending, **named)
    gauge("ropewalk.consumer.ack_pending", lag.ack_pending, **named)
    gauge("ropewalk.consumer.redelivered", lag.redelivered, **named)
    if spec.stream == _READABLE:
        gauge("ropewalk.consumer.oldest", lag.oldest_s, **named)
