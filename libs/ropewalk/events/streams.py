"""Which stream carries which subjects. One owner applies this table (`ropewalk bus apply`); services only bind.

State, events and requests share CONTROL because an atomic batch cannot span streams. Timers have a stream of their
own: the server refuses message schedules on a stream that discards new messages, and CONTROL must not lose old facts.
"""

from dataclasses import dataclass
from typing import Literal

GIB = 1024**3
DAY_S = 86_400.0

LEASE_BUCKET = "lease"
LEASE_STREAM = f"KV_{LEASE_BUCKET}"
SCHEDULE_STREAM = "SCHED"
LONGEST_TIMER_S = 29 * DAY_S  # a later one would be dropped with what is older than 30 days, before it fires


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """A stream as we want it. Zero means no limit."""

    name: str
    subjects: tuple[str, ...]
    discard: Literal["old", "new"]
    max_age_s: float
    max_bytes: int
    duplicate_window_s: float = 120.0
    atomic: bool = False
    message_ttl: bool = False
    schedules: bool = False
    max_per_subject: int = 0
    mirror_of: str = ""


STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec(
        name="CONTROL",
        subjects=("cmd.>", "evt.>", "state.>"),
        discard="new",
        max_age_s=180 * DAY_S,
        max_bytes=8 * GIB,
        duplicate_window_s=1800.0,
        atomic=True,
        message_ttl=True,
    ),
    StreamSpec(
        name=SCHEDULE_STREAM,
        subjects=("sched.>", "due.>"),
        discard="old",
        max_age_s=30 * DAY_S,
        max_bytes=GIB,
        message_ttl=True,
        schedules=True,
        max_per_subject=1,
    ),
    StreamSpec(name="TEL", subjects=("tel.>",), discard="old", max_age_s=7 * DAY_S, max_bytes=4 * GIB),
    StreamSpec(
        name="INFER",
        subjects=("log.infer.>",),
        discard="old",
        max_age_s=7 * DAY_S,
        max_bytes=4 * GIB,
        duplicate_window_s=1800.0,  # a serving that died sends again what it had not heard to be stored
    ),
    # What people said of answers, and what every item of an evaluation scored: dear, small, asked for years later.
    StreamSpec(
        name="SCORES",
        subjects=("log.label.>", "log.score.>"),
        discard="new",
        max_age_s=3650 * DAY_S,
        max_bytes=8 * GIB,
        duplicate_window_s=1800.0,
    ),
    StreamSpec(name="DLQ", subjects=("dlq.>",), discard="old", max_age_s=90 * DAY_S, max_bytes=2 * GIB),
    StreamSpec(
        name="ADVISORY",
        subjects=(
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
            "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
        ),
        discard="old",
        max_age_s=30 * DAY_S,
        max_bytes=GIB,
    ),
    # The horizon of every projection: two years or 32 GiB, whichever comes first, then the oldest facts go.
    StreamSpec(
        name="AUDIT", subjects=(), discard="old", max_age_s=730 * DAY_S, max_bytes=32 * GIB, mirror_of="CONTROL"
    ),
)

_PLANE_STREAM = {"cmd": "CONTROL", "evt": "CONTROL", "state": "CONTROL", "tel": "TEL", "sched": "SCHED", "due": "SCHED"}


def stream_of(subject: str) -> str:
    """The stream that carries a subject."""
    plane, family, *_ = subject.split(".")
    if plane == "log":
        return "INFER" if family == "infer" else "SCORES"
    return _PLANE_STREAM[plane]
