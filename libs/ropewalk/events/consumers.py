"""What a durable consumer is, and the kinds there are. Which ones a service has follows from its contract."""

from dataclasses import dataclass
from typing import Literal

from ropewalk.events.base import Message
from ropewalk.events.streams import LEASE_STREAM, SCHEDULE_STREAM, stream_of
from ropewalk.events.upcasters import with_older_forms

# A hint that a holder is lost may be handed to that very holder, frozen or hanging: then it must come again soon.
HINT_ACK_WAIT_S = 3.0


@dataclass(frozen=True, kw_only=True)
class ConsumerSpec:
    """A durable consumer as we want it. All replicas of a service share it."""

    service: str
    purpose: str
    stream: str
    subjects: tuple[str, ...]
    ack_wait_s: float = 10.0  # short: it is extended while a handler works, and what a dead one held comes soon
    max_ack_pending: int = 64
    max_deliver: int = -1  # tries are counted in `runtime.delivery`, which knows a failure from "not now"
    deliver: Literal["all", "new"] = "all"

    @property
    def durable(self) -> str:
        """The name on the server."""
        return f"{self.service}__{self.purpose}"


def handler(service: str, purpose: str, kind: type[Message]) -> ConsumerSpec:
    """Of a handler of one message type, older forms of it included; `purpose` is one word."""
    prefix = kind.subject_prefix()
    subjects = with_older_forms(f"{prefix}.*")
    return ConsumerSpec(service=service, purpose=purpose, stream=stream_of(prefix), subjects=subjects)


def stage(service: str, name: str, trigger: type[Message]) -> tuple[ConsumerSpec, ...]:
    """Of a stage: its triggers, the leases of it that end, its watchdogs and its deadlines."""
    leases = ConsumerSpec(
        service=service,
        purpose=f"{name}-lease",
        stream=LEASE_STREAM,
        subjects=(f"$KV.lease.{name}.*",),
        ack_wait_s=HINT_ACK_WAIT_S,
    )
    return handler(service, name, trigger), leases, timer(service, stall_of(name)), timer(service, deadline_of(name))


def stall_of(stage_name: str) -> str:
    """The name of a stage's watchdog timer."""
    return f"{stage_name}-stall"


def deadline_of(stage_name: str) -> str:
    """The name of a stage's deadline timer."""
    return f"{stage_name}-deadline"


def timer(service: str, name: str) -> ConsumerSpec:
    """Of the timers of one name when they are due."""
    return ConsumerSpec(
        service=service,
        purpose=f"{name}-due",
        stream=SCHEDULE_STREAM,
        subjects=(f"due.{name}.*",),
        ack_wait_s=HINT_ACK_WAIT_S,
    )


def sink(service: str, purpose: str, stream: str, subject: str, max_messages: int) -> ConsumerSpec:
    """Of a table that is filled in batches of up to `max_messages`; four batches may be on their way."""
    return ConsumerSpec(
        service=service,
        purpose=purpose,
        stream=stream,
        subjects=(subject,),
        ack_wait_s=60.0,
        max_ack_pending=4 * max_messages,
    )
