"""How far a consumer is behind, as a service asks about its own. `status.look` asks about all of them."""

from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from ropewalk.bus.consumer_lag import ConsumerLag


async def lag_of(connection: Client, stream: str, consumer: str, *, with_age: bool = True) -> ConsumerLag:
    """The lag of one consumer. Its age takes the right to read the stream; without it the age is 0."""
    context = connection.jetstream(timeout=5)
    info = await context.consumer_info(stream, consumer)
    behind = with_age and bool(info.num_pending or info.num_ack_pending)
    return ConsumerLag(
        stream=stream,
        consumer=consumer,
        pending=info.num_pending or 0,
        ack_pending=info.num_ack_pending or 0,
        redelivered=info.num_redelivered or 0,
        oldest_s=await _oldest_s(context, info) if behind else 0.0,
    )


async def _oldest_s(context: JetStreamContext, info: Any) -> float:
    """Age of the first message behind the ack floor. One look-up per filter, so it stays cheap."""
    ages = [0.0]
    start = info.ack_floor.stream_seq + 1  # everything up to the floor is acknowledged
    for subject in info.config.filter_subjects or filter(None, [info.config.filter_subject]):
        try:
            first = await context.get_msg(info.stream_name, seq=start, subject=subject, next=True)
        except NotFoundError:
            continue
        if first.time is not None:
            ages.append((datetime.now(UTC) - first.time).total_seconds())
    return max(ages)


async def all_consumers(context: JetStreamContext, stream: str) -> list[Any]:
    """Every consumer of a stream, however many pages they take."""
    found: list[Any] = []
    while page := await context.consumers_info(stream, offset=len(found)):
        found += page
    return found
