"""Timers that the server keeps: a deadline or a watchdog that fires though every service is down.

Arming a timer again replaces it. A timer lies in a stream of its own, so it is not armed or disarmed in the same
batch as a state, it may fire just before it is disarmed, and like every message it may be delivered twice: whoever
handles it looks at the state first. It fires at the time of the server's clock; one that came due while the server
was down fires when it is back.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from ropewalk.bus.bus import Bus
from ropewalk.bus.incoming import Incoming
from ropewalk.bus.reading import delivered
from ropewalk.bus.sending import Outgoing
from ropewalk.telemetry.spans import current_traceparent

_TOKEN = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_NOT_DELIVERED = "due.none"  # one token more than any timer has, so no consumer gets it


@dataclass(frozen=True, kw_only=True)
class DueTimer:
    """A timer that has come due. `id` is the same at every delivery."""

    name: str
    entity: str
    body: bytes
    id: str
    traceparent: str


async def arm(bus: Bus, name: str, entity: str, at: datetime, body: bytes = b"") -> None:
    """Fire timer `name` of `entity` (one word each: letters, digits, `_`, `-`) at a time; replaces an earlier one.

    Whoever called `Service.on_due` for the name gets it, with `body`. A time that is over fires at once.
    """
    place = _place(name, entity)
    headers = {
        "Nats-Schedule": f"@at {at.astimezone(UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')}",
        "Nats-Schedule-Target": f"due.{place}",  # where the server publishes the body when it is time
        "traceparent": current_traceparent(),
    }
    headers = {name: value for name, value in headers.items() if value}
    await bus.send([Outgoing(subject=f"sched.{place}", body=body, headers=headers)])


async def disarm(bus: Bus, name: str, entity: str) -> None:
    """Remove a timer; nothing happens if there is none. One that is due already may still be delivered."""
    place = _place(name, entity)
    headers = {"Nats-Scheduler": f"sched.{place}", "Nats-Schedule-Next": "purge", "Nats-TTL": "1s"}
    await bus.send([Outgoing(subject=f"{_NOT_DELIVERED}.{place}", body=b"", headers=headers)])


def due_timer(raw: Incoming) -> DueTimer:
    """What a consumer of due timers delivered."""
    _, name, entity = raw.subject.split(".")
    envelope = delivered(raw).envelope()
    return DueTimer(name=name, entity=entity, body=raw.data, id=envelope.id, traceparent=envelope.traceparent)


def _place(name: str, entity: str) -> str:
    assert _TOKEN(name), f"{name!r} becomes a token of a subject"
    assert _TOKEN(entity), f"{entity!r} becomes a token of a subject"
    return f"{name}.{entity}"
