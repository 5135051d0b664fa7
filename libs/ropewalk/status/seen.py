"""What was seen of a deployment, as values: they travel as JSON in the answer on `ctl.status`.

Every text in them that somebody else wrote has been cut, and every list has a bound: see `look`.
"""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ropewalk.bus.waiting import Moment, Waiting, told_by_oldest
from ropewalk.runtime.needs import Missing

ProcessStatus = Literal["waiting", "starting", "ready", "backing off", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A file system that the stack writes to. `still_wanted` is what may be added to it at most, in bytes."""

    holds: str
    folder: str
    mounted_at: str
    total: int
    free: int
    full: bool
    still_wanted: int = 0


@dataclass(frozen=True, kw_only=True)
class StreamUse:
    """A stream with a limit that refuses new messages when it has reached it."""

    name: str
    num_bytes: int
    max_bytes: int


@dataclass(frozen=True, kw_only=True)
class BrokerView:
    """nats-server as it tells about itself. `error` is a sentence, empty when it is well.

    `answers` is False where it does not say what it holds: it is `away`, or does not let this user look.
    """

    answers: bool = False
    away: bool = False
    error: str = ""
    stored_bytes: int = 0
    max_store_bytes: int = 0
    streams: tuple[StreamUse, ...] = ()
    num_dead_letters: int = 0


@dataclass(frozen=True, kw_only=True)
class ConsumerLag:
    """Of a durable consumer: messages not delivered yet, delivered and unsettled, delivered again; age of the oldest of
    them in seconds."""

    stream: str
    consumer: str
    pending: int
    ack_pending: int
    redelivered: int
    oldest_s: float


@dataclass(frozen=True, kw_only=True)
class ServiceAnswer:
    """What a service said to a ping. `reasons` are sentences why it is not ready; there are none when it is.

    `missing` is what it needs and goes without; `version` is empty before 0.2, `instance` where one alone answered.
    """

    service: str
    answered: bool
    reasons: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    version: str = ""
    waiting: Waiting = field(default_factory=Waiting)
    instance: str = ""

    @property
    def name(self) -> str:
        """For people: with the instance where there are several."""
        return f"{self.service} ({self.instance})" if self.instance else self.service


class ProcessState(BaseModel):
    """One supervised process. `pid` is 0 while it does not run; times are in seconds since 1970.

    `detail` is about the present, `last_ending` stays: how it ended the last time.
    """

    model_config = ConfigDict(frozen=True)

    service: str
    pid: int = 0
    status: ProcessStatus = "waiting"
    restarts: int = 0
    started_at: float = 0.0
    changed_at: float = 0.0
    detail: str = ""
    last_ending: str = ""


@dataclass(frozen=True, kw_only=True)
class RunSeen:
    """A run that is not over and may not get on: in line since then, paused, deferred, or with something to say."""

    run_id: str
    stage: str
    queued_since: Moment = 0.0
    detail: str = ""
    paused: bool = False
    deferred: bool = False


@dataclass(frozen=True, kw_only=True)
class AlarmSeen:
    """An alarm that nobody looks after yet."""

    alarm_id: str
    model: str
    detail: str
    since: Moment


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Everything that was looked at, at one time. Disks and processes are those of an embedded stack, or `contained`:
    of the containers of a compose project.
    """

    now: Moment
    broker: BrokerView
    disks: tuple[Disk, ...] = ()
    processes: tuple[ProcessState, ...] = ()
    contained: bool = False
    services: tuple[ServiceAnswer, ...] = ()
    lags: tuple[ConsumerLag, ...] = ()
    runs: tuple[RunSeen, ...] = ()
    alarms: tuple[AlarmSeen, ...] = ()


def what_waits(seen: Seen) -> Waiting:
    """The sends of all services that the broker has not accepted yet, told by the oldest."""
    return told_by_oldest([answer.waiting for answer in seen.services if answer.waiting.num_sends])
