"""What the checker reads: stored messages as plain values, copied from the streams once everything is quiet.

Read with bare nats-py, not with the bus library, whose faults are what we look for.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from ropewalk.bus.codec import decode_any
from ropewalk.bus.errors import MalformedMessageError
from ropewalk.events.base import Message

M = TypeVar("M", bound=Message)
INJECTED = "chaos-injected"  # header of what the fault injector published: "duplicate" or "poison"

_SHOWN = ("stage", "status", "epoch", "attempt", "operation_id", "cause", "kind", "message", "mode", "pool", "cpus")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored message. `message` is None if its body is malformed."""

    sequence: int
    subject: str
    headers: Mapping[str, str] = field(default_factory=dict)
    message: Message | None = None

    @property
    def id(self) -> str:
        return self.headers.get("ce-id", "")

    @property
    def cause_id(self) -> str:
        return self.headers.get("ce-causationid", "")

    @property
    def run_id(self) -> str:
        return self.subject.rpartition(".")[2]

    @property
    def injected(self) -> str:
        return self.headers.get(INJECTED, "")

    @property
    def epoch(self) -> int:
        return int(self.headers.get("ce-epoch", "0") or 0)

    def __str__(self) -> str:
        marks = [f"[{self.injected}]"] if self.injected else []
        shown = {} if self.message is None else self.message.model_dump(exclude_defaults=True)
        facts = [f"{name}={str(shown[name])[:60]}" for name in _SHOWN if name in shown]
        return " ".join([f"{self.sequence:>6} {self.subject}", *marks, *facts])


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One row of the log of outside effects. `key` names the effect, `message_id` what it followed from."""

    key: str
    message_id: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything the checker may look at."""

    control: Sequence[Entry]
    letters: Sequence[Entry] = ()
    effects: Sequence[Effect] = ()
    submitted: Sequence[str] = ()  # ids of the runs whose submission the client saw acknowledged
    mirrored: int | None = None  # the last sequence of AUDIT
    capacities: Mapping[str, float] = field(default_factory=dict)  # CPUs per pool, as declared to the services

    def organic(self, kind: type[M] | None = None) -> list[tuple[Entry, M]]:
        """Well-formed messages that the injector did not publish, with their entries."""
        wanted = kind or Message
        return [
            (entry, entry.message) for entry in self.control if not entry.injected and isinstance(entry.message, wanted)
        ]


async def read_stream(connection: Client, stream: str, known: Sequence[Entry] = ()) -> list[Entry]:
    """Every message of a stream in order, the malformed ones too. What is known already is not read again."""
    context = connection.jetstream(timeout=10)
    last = (await context.stream_info(stream)).state.last_seq
    entries = list(known)
    start = entries[-1].sequence + 1 if entries else 1
    if start > last:
        return entries
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        mem_storage=True,
        inactive_threshold=60,
    )
    subscription = await context.pull_subscribe(">", stream=stream, config=config)
    while not entries or entries[-1].sequence < last:
        with contextlib.suppress(TimeoutError, nats.errors.TimeoutError):  # a slow machine
            entries += [_entry(raw) for raw in await subscription.fetch(500, timeout=5)]
    await subscription.unsubscribe()
    return entries


def _entry(raw: Msg) -> Entry:
    headers = raw.headers or {}
    message = _decoded(raw.subject, headers, raw.data)
    return Entry(sequence=raw.metadata.sequence.stream, subject=raw.subject, headers=headers, message=message)


def _decoded(subject: str, headers: Mapping[str, str], body: bytes) -> Message | None:
    try:
        return decode_any(subject, headers, body)
    except MalformedMessageError:
        return None
