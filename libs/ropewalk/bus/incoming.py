"""A message that a durable consumer delivered, as everything behind the consumer sees it.

nats-py's `Msg` is one. Another client library would bring its own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class Sequences(Protocol):
    """Where a message lies: its sequence in the stream."""

    stream: int


class Delivery(Protocol):
    """What the server says about this delivery of a message."""

    stream: str  # the name
    sequence: Sequences
    num_delivered: int  # to this consumer, this time included
    timestamp: datetime  # when the message was stored


class Incoming(Protocol):
    """The message and the three ways to let go of it; every other word to the server is the consumer's."""

    subject: str
    reply: str  # where it is acknowledged, `$JS.ACK.…` with the delivery in it
    data: bytes
    headers: Mapping[str, str] | None

    @property
    def metadata(self) -> Delivery:
        """Where it lies and how often it came. It is parsed from `reply` when asked for, so ask only if you must."""
        ...

    async def ack(self) -> None:
        """It is dealt with."""

    async def nak(self, delay: int | float | None = None) -> None:
        """Deliver it again, after `delay` seconds."""

    async def term(self) -> None:
        """Never deliver it again."""
