"""How far a consumer is behind, as a service asks about its own. `status.look` asks about all of them."""

from datetime import UTC, datetime
from typing import Any

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError


async def oldest_s(context: JetStreamContext, info: Any) -> float:
    """Age of the first message behind the ack floor, 0 if nothing waits. One look-up per filter, so it stays cheap.

    It takes the right to read the stream.
    """
    if not info.num_pending and not info.num_ack_pending:
        return 0.0
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
