"""Who may do what on the bus. A user has no right that does not follow from the contracts or from here.

Each of the seven services may publish what its contract says it emits, the state and the leases of its own stages, the
timers and the dead letters of its own consumers. It may read the log, which is open to all of them, but neither the
dead letters nor the requests of users, and it may change no stream and no consumer. The rights end where a subject
ends: two services that may emit the same type are not told apart, and the envelope's source is the sender's own word.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ropewalk.admin.contracts import CONSUMERS, CONTRACTS, SERVICE_USERS
from ropewalk.events import run
from ropewalk.events.base import Message, Request
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.events.streams import LEASE_STREAM, SCHEDULE_STREAM, STREAMS

SUPERVISOR = "supervisor"
OPERATOR = "operator"
MAINTAINER = "maintainer"
_API = "$JS.API"

STAGE_EMITS: tuple[type[Message], ...] = (
    run.StageQueued,
    run.StageStarted,
    run.StageCompleted,
    run.StageInterrupted,
    run.StageStalled,
    run.RunFailed,
)
"""What the stage runner says for every service that has a stage."""

USERS = (*SERVICE_USERS, SUPERVISOR, OPERATOR, MAINTAINER)

_ENDINGS = {run.RunRejected, run.RunCompleted, run.RunFailed, run.RunCancelled}
_STREAMS = (*(spec.name for spec in STREAMS), LEASE_STREAM)
_BACKUP = (f"{_API}.STREAM.SNAPSHOT.*", "$JS.SNAPSHOT.ACK.>")
_FOLLOWED = (run.RunCancelled, run.RunPaused, run.RunResumed, run.PoolState)  # where there are stages
_LETTERS = "dlq.*.*.*"  # of any consumer, also one that is gone; a mark that closes a letter lies beside it
_LIVE = ("cmd.>", "evt.>", "state.>", "tel.>", "log.>", "dlq.>")


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What the server lets a user do. `responds`: answer whoever asked it, once."""

    user: str
    purpose: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    responds: bool = False


def rights_of(user: str) -> Rights:
    """The rights of one of USERS."""
    special = {SUPERVISOR: _supervisor, OPERATOR: _operator, MAINTAINER: _maintainer}
    return special[user]() if user in special else _service(user)


def emitted_by(service: str) -> tuple[type[Message], ...]:
    """Every type that a service publishes outside the state plane."""
    contract = CONTRACTS[service]
    return contract.emits + (STAGE_EMITS if contract.stages else ())


def _service(name: str) -> Rights:
    contract, emitted = CONTRACTS[name], emitted_by(name)
    publish = [f"{kind.subject_prefix()}.*" for kind in emitted]
    if _ENDINGS & set(emitted):
        publish.append(f"{run.RunEnding.subject_prefix()}.*")
    for stage in contract.stages:
        publish += [run.stage_state_subject(stage, "*"), f"$KV.lease.{stage}.*"]
        publish.append(f"{run.StageCapacity.subject_prefix()}.{stage}")
    for spec in contract.consumers:
        publish += _of_consumer(spec)
    for stream in ("CONTROL", *contract.reads):
        publish += _reading(stream)
    if contract.watches:
        publish += [*_looking(), *_ages(), "ctl.ping.*", "ctl.projection.v1.*"]
    follows = [*contract.follows]
    if contract.stages:
        publish += [f"{run.PoolState.subject_prefix()}.*", f"{_API}.STREAM.MSG.GET.{LEASE_STREAM}"]
        follows += [f"{kind.subject_prefix()}.*" for kind in _FOLLOWED]
    return Rights(
        user=name,
        purpose=f"the service {name}",
        publish=_sorted(publish),
        subscribe=(f"_INBOX_{name}.>", f"ctl.ping.{name}", *contract.answers, *follows),
        responds=True,
    )


def _of_consumer(spec: ConsumerSpec) -> list[str]:
    """Fetch from a consumer and settle what came; arm the timers that it waits for; set aside what it rejects."""
    place = f"{spec.stream}.{spec.durable}"
    rights = [f"{_API}.CONSUMER.{verb}.{place}" for verb in ("INFO", "MSG.NEXT")] + [f"$JS.ACK.{place}.>"]
    if spec.stream == SCHEDULE_STREAM:
        timers = [subject.removeprefix("due.") for subject in spec.subjects]
        return rights + [f"{arm}.{timer}" for timer in timers for arm in ("sched", "due.none")]
    return rights if spec.stream == LEASE_STREAM else [*rights, f"dlq.{place}.*"]


def _reading(stream: str) -> list[str]:
    return [
        f"{_API}.STREAM.INFO.{stream}",
        f"{_API}.STREAM.MSG.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}.>",
    ]


def _looking() -> list[str]:
    """See what there is, without the messages."""
    return [
        f"{_API}.INFO",
        *(f"{_API}.STREAM.{verb}" for verb in ("LIST", "NAMES", "INFO.*")),
        *(f"{_API}.CONSUMER.{verb}" for verb in ("LIST.*", "NAMES.*", "INFO.*.*")),
    ]


def _ages() -> list[str]:
    """See how long the oldest message of a consumer waits, which is read with the message."""
    return [f"{_API}.STREAM.MSG.GET.{stream}" for stream in {spec.stream for spec in CONSUMERS}]


def _supervisor() -> Rights:
    changes = ("STREAM.CREATE.*", "STREAM.UPDATE.*", "CONSUMER.CREATE.>", "CONSUMER.DURABLE.CREATE.>")
    return Rights(
        user=SUPERVISOR,
        purpose="owns the topology: creates and updates streams and consumers, takes backups, asks after services",
        publish=_sorted([*_looking(), *(f"{_API}.{change}" for change in changes), *_BACKUP, "ctl.ping.*"]),
        subscribe=(f"_INBOX_{SUPERVISOR}.>",),
    )


def _operator() -> Rights:
    requests = [f"{kind.subject_prefix()}.*" for kind in MESSAGE_TYPES if issubclass(kind, Request)]
    reading = [right for stream in _STREAMS for right in _reading(stream)]
    return Rights(
        user=OPERATOR,
        purpose="a person: asks for runs and their end, retires models, reads all, closes dead letters, states no fact",
        publish=_sorted([*requests, *reading, *_looking(), _LETTERS, "ctl.>"]),
        subscribe=("_INBOX.>", f"_INBOX_{OPERATOR}.>", *_LIVE),
    )


def _maintainer() -> Rights:
    """Repeats messages of others, as dead letters and drills must. Only whoever can read its key file acts as it."""
    operator = _operator()
    return Rights(
        user=MAINTAINER,
        purpose="an operator who may also repeat and state facts: delivers dead letters again, runs drills",
        publish=_sorted([*operator.publish, "cmd.>", "evt.>", "tel.>", "log.>"]),
        subscribe=(f"_INBOX_{MAINTAINER}.>", *_LIVE),
    )


def _sorted(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(subjects)))
