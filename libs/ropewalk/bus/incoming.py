"""A message that a durable consumer delivered, as everything behind the consumer sees it.

nats-py's `Msg` is one. Another client library would bring its own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class Sequences(Protocol):
    """Where a message lies in its stream."""

    @property
    def stream(self) -> int:
        """Its sequence."""
        ...


class Delivery(Protocol):
    """What the server says about this delivery of a message."""

    @property
    def stream(self) -> str:
        """The stream's name."""
        ...

    @property
    def sequence(self) -> Sequences:
        """Where it lies there."""
        ...

    @property
    def num_delivered(self) -> int:
        """How often it was delivered to this consumer, this time included."""
        ...

    @property
    def timestamp(self) -> datetime:
        """When it was stored."""
        ...


class Incoming(Protocol):
    """The message and the four ways to let go of it; every other word to the server is the consumer's."""

    @property
    def subject(self) -> str:
        """Where it was published."""
        ...

    @property
    def reply(self) -> str:
        """Where it is acknowledged, `$JS.ACK.…` with the delivery in it."""
        ...

    @property
    def data(self) -> bytes:
        """The body."""
        ...

    @property
    def headers(self) -> Mapping[str, str] | None:
        """The headers, if there are any."""
        ...

    @property
    def metadata(self) -> Delivery:
        """Where it lies and how often it came; read from `reply` when asked for."""
        ...

    async def ack(self) -> None:
        """It is dealt with."""

    async def nak(self, delay: int | float | None = None) -> None:
        """Deliver it again, after `delay` seconds."""

    async def term(self) -> None:
        """Never deliver it again."""
