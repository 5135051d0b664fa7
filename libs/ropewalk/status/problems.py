"""What is wrong with a deployment, as whoever is woken by it wants to read it: the cause with figures, and the remedy.

Values only: what was seen goes in, problems come out, the worst first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ropewalk.bus.waiting import Moment
from ropewalk.events.foreign import one_line
from ropewalk.status.seen import Seen, what_waits

EARLY = 0.8  # of a limit: worth a line while there is time
_FULL = 0.99  # of a limit: the next message may be larger than what is left
LAGGING_S = 60.0  # a handler takes at most 20 s, so a message this old waits for something
QUEUED_S = 900.0  # in line for so long is worth a line; short queues are how a pool works
# More lines of one kind tell nothing new; a command lists them all.
_MOST_RUNS = 5
_MOST_ALARMS = 3
_MB = 1000**2
_FLAPPING_RESTARTS = 3
_FLAPPING_S = 60.0  # a process that has lived this long since its last restart has recovered

EVENT_LOG = "the event log"
_SENDING_S = 10.0  # a send that the broker takes waits a moment at most
_REMEDIES = {
    "disk": "make room there; everything continues by itself within seconds, nothing stored is lost",
    "objects": "start it, make room in it, or correct ROPEWALK_OBJECTS_URL and _ENDPOINT; stages wait and try again",
    "clickhouse": "start it or make room in it; rows wait in the log for days, no request is lost",
}

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One line of `ropewalk status`. `since` is in seconds since 1970, 0 where it is not known."""

    kind: str
    severity: Severity
    what: str
    remedy: str
    since: Moment = 0.0


def problems_of(seen: Seen) -> tuple[Problem, ...]:
    """All problems; errors before warnings, causes before what follows from them."""
    found = [*_of_disks(seen), *_of_the_broker(seen), *_of_processes(seen), *_of_services(seen)]
    if not found:
        found += _of_sends(seen)
    found += [*_of_needs(seen), *_of_versions(seen), *_of_lags(seen), *_of_runs(seen), *_of_alarms(seen)]
    if seen.broker.num_dead_letters:
        found.append(_dead_letters(seen.broker.num_dead_letters))
    return tuple(sorted(found, key=lambda problem: problem.severity != "error"))


def _of_disks(seen: Seen) -> Iterator[Problem]:
    for disk in seen.disks:
        where = f"{disk.folder} (mounted at {disk.mounted_at})"
        used = 1 - disk.free / max(1, disk.total)
        share = f"{used:.0%} of {size(disk.total)} used, {size(disk.free)} free"
        if disk.full:
            yield _error(
                "disk_full",
                f"the disk of {disk.holds} is full: {where}, {share}"
                + (f"; {_waiting_sentence(seen)}" if disk.holds == EVENT_LOG else ""),
                "make room there; everything continues by itself within seconds, nothing stored is lost"
                + seen.contained * ", but restart the container of a bus that goes on refusing",
                since=what_waits(seen).since if disk.holds == EVENT_LOG else 0.0,
            )
        elif used >= EARLY and disk.free < disk.still_wanted:
            yield _warning(
                "disk_filling",
                f"the disk of {disk.holds} fills: {where}, {share}, up to {size(disk.still_wanted)} may be added",
                "make room there, or move the state folder to a larger disk (ROPEWALK_STATE_DIR)",
            )


def _of_the_broker(seen: Seen) -> Iterator[Problem]:
    broker = seen.broker
    if not broker.answers:
        if broker.away:
            yield _error(
                "broker_away",
                f"{broker.error}; services keep what they would send and go on when it is back",
                "start it, or set ROPEWALK_NATS_URL and the user to the bus of the services",
            )
        elif not seen.processes:  # of an embedded stack the process table says why
            yield _error(
                "broker_unknown",
                f"the broker does not say how it is: {broker.error}",
                "set ROPEWALK_NATS_URL and its user to one who may look, the operator for instance",
            )
        return
    if "no space left" in broker.error and not any(disk.full for disk in seen.disks if disk.holds == EVENT_LOG):
        yield _error(
            "broker_recovering",
            f"the disk of the event log was full, so the broker is being restarted; {_waiting_sentence(seen)}",
            "wait some seconds",
            since=what_waits(seen).since,
        )
    elif broker.error and "no space left" not in broker.error:
        yield _error(
            "broker_error",
            f"the broker is not well: {broker.error}; {_waiting_sentence(seen)}",
            f"read {_log_of(seen, 'nats-server')}",
            since=what_waits(seen).since,
        )
    for stream in broker.streams:
        remedy = f"raise the limit of {stream.name} in `events/streams.py`, then `ropewalk bus apply`"
        yield from _of_limit(seen, f"stream {stream.name}", (stream.num_bytes, stream.max_bytes), remedy)
    stored = broker.stored_bytes, broker.max_store_bytes
    yield from _of_limit(seen, "the broker's store", stored, "raise `max_file_store` of nats-server")


def _of_limit(seen: Seen, name: str, use: tuple[int, int], remedy: str) -> Iterator[Problem]:
    used, limit = use
    kind, waiting = "stream" if name.startswith("stream ") else "store", what_waits(seen)
    refuses = kind == "stream" and waiting.reason == "maximum bytes exceeded"  # a message larger than what is left
    if not limit or used < EARLY * limit:
        return
    if used >= _FULL * limit or refuses:
        what = f"{name} is full: {size(used)} of {size(limit)}, new messages are refused; {_waiting_sentence(seen)}"
        yield _error(f"{kind}_full", what, remedy, since=waiting.since)
    else:
        what = f"{name} fills: {size(used)} of {size(limit)}; at the limit new messages are refused"
        yield _warning(f"{kind}_filling", what, remedy)


def _of_processes(seen: Seen) -> Iterator[Problem]:
    for process in seen.processes:
        name = process.service
        down = process.status in ("backing off", "starting") and process.restarts > 0
        flaps = process.restarts >= _FLAPPING_RESTARTS and seen.now - process.started_at < _FLAPPING_S
        ending = f", last it {process.last_ending}" if process.last_ending else ""
        if name == "nats-server" and (down or not (seen.broker.answers or seen.broker.away)):
            reason = f"{process.last_ending}, it starts again by itself" if down else "it lives and does not answer"
            yield _error(
                "broker_down",
                f"the broker is down: {reason}; services keep what they would send and go on when it is back",
                "read `ropewalk logs nats-server` if this stays",
                since=process.changed_at if down else 0.0,
            )
        elif flaps:
            yield _error(
                "restarting",
                f"{name} ends again and again: {process.restarts} restarts{ending}",
                f"read `ropewalk logs {name}`",
                since=process.changed_at,
            )
        elif down:
            yield _warning(
                "process_down",
                f"{name} is {process.status}{ending}",
                f"read `ropewalk logs {name}` if this stays",
                since=process.changed_at,
            )


def _of_services(seen: Seen) -> Iterator[Problem]:
    """Not of those whose process is down: they are named already."""
    if not seen.broker.answers:
        return  # nobody can be asked
    down = {process.service for process in seen.processes if process.status != "ready"}
    asked = [answer for answer in seen.services if answer.service not in down]
    if len(asked) > 1 and not any(answer.answered for answer in asked):
        yield _error(
            "no_service_answers",
            f"none of the {len(asked)} services answers on this bus: they are not started, or hang",
            "start them (`docs/profiles.md`), or set ROPEWALK_NATS_URL to the bus that they use",
        )
        return
    for answer in asked:
        log = _log_of(seen, answer.service)
        if not answer.answered:
            yield _silent(answer.service, log, has_process=bool(seen.processes) and not seen.contained)
        for reason in answer.reasons:
            what = f"{answer.name} is not ready: {reason}"
            yield _error("not_ready", what, f"read {log}")


def _silent(service: str, log: str, *, has_process: bool) -> Problem:
    """Whether a process lives is known of an embedded stack only; its supervisor ends one that hangs."""
    if has_process:
        what = f"{service} lives and does not answer: it hangs, is stopped or is cut off from the bus"
        remedy = f"read {log}; a minute of silence ends it, and it starts anew"
    else:
        what = f"{service} does not answer: it is not started, hangs or is cut off from the bus"
        remedy = f"read {log}, and start it if it is down"
    return _error("not_answering", what, remedy)


def _log_of(seen: Seen, name: str) -> str:
    """Where a person reads what a process said. Only an embedded stack has the files."""
    return f"`ropewalk logs {name}`" if seen.processes else f"the log of {name}"


def _of_sends(seen: Seen) -> Iterator[Problem]:
    """What a broker does that answers and cannot write: to its clients a full disk looks like silence."""
    waiting = what_waits(seen)
    if waiting.num_sends and seen.now - waiting.since >= _SENDING_S:
        yield _error(
            "sends_wait",
            f"the broker answers and stores nothing: {_waiting_sentence(seen)}",
            f"look whether its disk is full and read {_log_of(seen, 'nats-server')}; what waits is sent when it stores",
            since=waiting.since,
        )


def _of_needs(seen: Seen) -> Iterator[Problem]:
    """One line for each thing that is away, with all who miss it."""
    missed: dict[tuple[str, str], list[str]] = {}
    sinces: dict[tuple[str, str], float] = {}
    full = any(disk.full for disk in seen.disks)
    for answer in seen.services:
        for each in answer.missing:
            if full and each.kind in ("disk", "objects"):
                continue  # an embedded stack: its disks are named already, with their size
            named = (each.kind, each.what)
            missed.setdefault(named, []).append(answer.name)
            sinces[named] = min(each.since, sinces.get(named, each.since))
    for (kind, what), services in missed.items():
        remedy = _REMEDIES.get(kind, f"read {_log_of(seen, kind)}, and start it if it is down")
        yield _error(f"{kind}_away", f"{', '.join(services)}: {what}", remedy, since=sinces[kind, what])


def _of_versions(seen: Seen) -> Iterator[Problem]:
    running: dict[str, list[str]] = {}
    for answer in seen.services:
        if answer.answered:
            running.setdefault(answer.version or "before 0.2", []).append(answer.name)
    if len(running) > 1:
        told = "; ".join(f"{version}: {', '.join(services)}" for version, services in sorted(running.items()))
        what = f"services of {len(running)} versions run together ({told})"
        yield _warning("mixed_versions", what, "finish the upgrade (`docs/upgrade.md`), or start all from one image")


def _of_lags(seen: Seen) -> Iterator[Problem]:
    for lag in seen.lags:
        if lag.oldest_s >= LAGGING_S:
            service = lag.consumer.partition("__")[0]
            yield _warning(
                "lag",
                f"{lag.consumer} is behind: {lag.pending + lag.ack_pending} messages wait or are worked on, "
                f"{lag.redelivered} were delivered again, the oldest is {lag.oldest_s:.0f} s old",
                f"`ropewalk bus lag`, {_log_of(seen, service)}",
                since=seen.now - lag.oldest_s,
            )


def _of_runs(seen: Seen) -> Iterator[Problem]:
    for run in [run for run in seen.runs if run.detail and not run.queued_since][:_MOST_RUNS]:
        remedy = f"`ropewalk show {run.run_id}`; it is tried again by itself"
        if run.paused:
            remedy = f"`ropewalk resume {run.run_id}`"
        if run.deferred:
            remedy = f"what it waits for, or `ropewalk cancel {run.run_id}`"
        kind = "run_paused" if run.paused else "run_deferred" if run.deferred else "run_troubled"
        yield _warning(kind, f"run {run.run_id}, {run.stage}: {run.detail}", remedy)
    waiting = [run for run in seen.runs if run.queued_since and seen.now - run.queued_since >= QUEUED_S]
    if waiting:
        longest = min(waiting, key=lambda run: run.queued_since)
        runs = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
        yield _warning(
            "queued_long",
            f"{runs} in line for over {QUEUED_S / 60:.0f} minutes, the longest is run {longest.run_id} for "
            f"{longest.stage} ({(seen.now - longest.queued_since) / 60:.0f} minutes)",
            "`ropewalk runs --status queued`; a larger pool (ROPEWALK_CAPACITY_CPUS) or another end helps",
            since=longest.queued_since,
        )


def _of_alarms(seen: Seen) -> Iterator[Problem]:
    for alarm in seen.alarms[:_MOST_ALARMS]:
        yield _warning(
            "alarm",
            f"{alarm.model}: {one_line(alarm.detail, 400)}",
            f"`ropewalk alarms ack {alarm.alarm_id}` if you look after it, `ropewalk alarms rebaseline "
            f"{alarm.alarm_id}` if that is how it should be",
            since=alarm.since,
        )
    if len(seen.alarms) > _MOST_ALARMS:
        more = len(seen.alarms) - _MOST_ALARMS
        yield _warning(
            "alarm",
            f"{more} more alarms are open",
            "`ropewalk alarms` lists them",
        )


def _dead_letters(number: int) -> Problem:
    letters = "1 message was set aside" if number == 1 else f"{number} messages were set aside"
    return _warning(
        "dead_letters",
        f"{letters} as dead letters: no handler could do its work with them",
        "`ropewalk dead list`",
    )


def _waiting_sentence(seen: Seen) -> str:
    waiting = what_waits(seen)
    if not waiting.num_sends:
        return "nothing waits yet"
    sends = "1 send waits" if waiting.num_sends == 1 else f"{waiting.num_sends} sends wait"
    at = datetime.fromtimestamp(waiting.since).astimezone().strftime("%H:%M:%S")
    return f"{sends} since {at} ({waiting.subject}: {waiting.reason})"


def size(num_bytes: float) -> str:
    """Bytes for people: MB up to 10 GB, then GB."""
    return f"{num_bytes / _MB:,.0f} MB" if num_bytes < 10_000 * _MB else f"{num_bytes / _MB / 1000:,.0f} GB"


def _error(kind: str, what: str, remedy: str, *, since: float = 0.0) -> Problem:
    return Problem(kind=kind, severity="error", what=what, remedy=remedy, since=since)


def _warning(kind: str, what: str, remedy: str, *, since: float = 0.0) -> Problem:
    return Problem(kind=kind, severity="warning", what=what, remedy=remedy, since=since)
