"""How far a durable consumer is behind, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ConsumerLag:
    """Messages not delivered yet, delivered and unsettled, delivered again; age of the oldest of them in seconds."""

    stream: str
    consumer: str
    pending: int
    ack_pending: int
    redelivered: int
    oldest_s: float
