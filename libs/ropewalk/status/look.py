"""Looks at a deployment over its bus: queues, limits, dead letters, services, runs, alarms. Bounded in time and size.

Whatever does not answer is itself an answer, so nothing here raises for a part that is broken. Everything is asked
over plain sockets from a few threads: the asynchronous libraries take longer to import than all of this to run.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

from pydantic import TypeAdapter

from ropewalk.bus.waiting import Waiting
from ropewalk.bus.wire import Address, Wire, WireError
from ropewalk.events.foreign import one_line
from ropewalk.projections.asking import ask, ask_runs
from ropewalk.runtime.needs import Missing
from ropewalk.status.seen import AlarmSeen, BrokerView, ConsumerLag, RunSeen, Seen, ServiceAnswer, StreamUse

T = TypeVar("T")
Json = dict[str, Any]

_TIMEOUT_S = 0.7  # per answer, so that a look that meets silent services ends within about a second
# Bounds of what one answer lists: together they stay far below the megabyte of a message.
_OTHERS_S = 0.1  # for the other instances of a service once one has answered: a ping needs no work
_MOST_RUNS = 200
_MOST_QUEUED = 20
_MOST_ALARMS = 100
_MOST_LAGS = 200
_MOST_STREAMS = 100
_MOST_REASONS = 10
_LONGEST = 400  # characters of a sentence that somebody else wrote


@dataclass(frozen=True)
class _Pong:
    """What a service says to a ping: see `ServiceAnswer`."""

    reasons: tuple[str, ...] = ()
    waiting: Waiting = field(default_factory=Waiting)
    missing: tuple[Missing, ...] = ()
    version: str = ""
    instance: str = ""


_PONG = TypeAdapter(_Pong)


def look(bus: Address, services: tuple[str, ...]) -> Seen:
    """Ask everything at once; takes about a second at most. Needs the rights of `events.access` to look."""
    # One thread each: a service that hangs costs its own patience and nobody else's.
    with ThreadPoolExecutor(max_workers=len(services) + 3) as pool:
        looking = pool.submit(_look_at_broker, bus)
        listing = pool.submit(_over_the_bus, bus, _runs)
        alarming = pool.submit(_over_the_bus, bus, _alarms)
        # A service that has no instance is answered by the server itself, at once.
        answers = tuple(chain.from_iterable(pool.map(lambda service: _ask(bus, service), services)))
        broker, lags = looking.result()
        return Seen(
            now=time.time(),
            broker=broker,
            services=answers,
            lags=tuple(lags),
            runs=tuple(listing.result() or ()),
            alarms=tuple(alarming.result() or ()),
        )


def _look_at_broker(bus: Address) -> tuple[BrokerView, list[ConsumerLag]]:
    """What JetStream holds, which limits are near, who is behind; the furthest behind first."""
    try:
        with Wire(bus, _TIMEOUT_S) as wire:
            account = _api(wire, "INFO")
            streams = list(_pages(wire, "STREAM.LIST", "streams"))[:_MOST_STREAMS]
            lags = [lag for lag in queues(wire, streams) if lag.pending or lag.ack_pending]
    except (WireError, ValueError) as error:
        return BrokerView(error=one_line(str(error), _LONGEST)), []
    lags.sort(key=lambda lag: -lag.oldest_s)
    return _view(account, streams), lags[:_MOST_LAGS]


def _view(account: Json, streams: list[Json]) -> BrokerView:
    return BrokerView(
        answers=True,
        stored_bytes=account["storage"],
        max_store_bytes=max(0, account["limits"]["max_storage"]),  # -1: the account has no limit of its own
        streams=tuple(
            StreamUse(
                name=one_line(stream["config"]["name"]),
                num_bytes=stream["state"]["bytes"],
                max_bytes=stream["config"]["max_bytes"],
            )
            for stream in streams
            if stream["config"]["discard"] == "new" and stream["config"]["max_bytes"] > 0
        ),
        num_dead_letters=sum(_open_letters(stream["state"]) for stream in streams if stream["config"]["name"] == "DLQ"),
    )


def _open_letters(state: dict[str, int]) -> int:
    """A letter has a subject of its own; what became of it is a second message there (`bus.dead_letters`)."""
    return max(0, 2 * state.get("num_subjects", 0) - state["messages"])


def queues(wire: Wire, streams: Iterable[Json] | None = None) -> Iterator[ConsumerLag]:
    """Every durable consumer. Where something waits the oldest message is looked up. Raises WireError, ValueError."""
    for stream in _pages(wire, "STREAM.LIST", "streams") if streams is None else streams:
        for info in _pages(wire, f"CONSUMER.LIST.{stream['config']['name']}", "consumers"):
            if info["config"].get("durable_name"):
                yield ConsumerLag(
                    stream=one_line(info["stream_name"]),
                    consumer=one_line(info["name"]),
                    pending=info["num_pending"],
                    ack_pending=info["num_ack_pending"],
                    redelivered=info["num_redelivered"],
                    oldest_s=_oldest_s(wire, info) if info["num_pending"] or info["num_ack_pending"] else 0.0,
                )


def _oldest_s(wire: Wire, info: Json) -> float:
    """Age of the first message behind the ack floor, as `bus.lag.oldest_s` has it."""
    config, ages = info["config"], [0.0]
    for subject in config.get("filter_subjects") or [config.get("filter_subject") or ">"]:
        wanted = {"seq": info["ack_floor"]["stream_seq"] + 1, "next_by_subj": subject}
        ages.append(time.time() - (_stored_at(wire, info["stream_name"], wanted) or time.time()))
    return max(ages)


def _stored_at(wire: Wire, stream: str, which: Json) -> float:
    """When a message was stored, in seconds since 1970; 0 if there is none."""
    reply = wire.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps(which).encode())
    message = json.loads(reply.body).get("message")
    return datetime.fromisoformat(message["time"]).timestamp() if message else 0.0


def _pages(wire: Wire, question: str, items: str) -> Iterator[Json]:
    """The items of a list that the server tells page by page."""
    told = 0
    while page := _api(wire, question, {"offset": told}).get(items):
        yield from page
        told += len(page)


def _api(wire: Wire, question: str, details: Json | None = None) -> Json:
    """What JetStream answers. Raises WireError for its refusals, too."""
    answer: Json = json.loads(wire.request(f"$JS.API.{question}", json.dumps(details or {}).encode()).body)
    if "error" in answer:
        raise WireError(f"JetStream says: {answer['error'].get('description')}")
    return answer


def _ask(bus: Address, service: str) -> list[ServiceAnswer]:
    """What each instance says; they have names where there are several."""

    def pongs(wire: Wire) -> list[_Pong]:
        return [_PONG.validate_json(frame.body) for frame in wire.request_all(f"ctl.ping.{service}", b"", _OTHERS_S)]

    said = _over_the_bus(bus, pongs)
    if said is None:
        return [ServiceAnswer(service=service, answered=False)]
    answers = [_answer(service, pong, pong.instance if len(said) > 1 else "") for pong in said]
    return sorted(answers, key=lambda answer: answer.instance)


def _answer(service: str, said: _Pong, instance: str) -> ServiceAnswer:
    waiting = said.waiting
    return ServiceAnswer(
        service=service,
        instance=one_line(instance),
        answered=True,
        reasons=tuple(one_line(reason, _LONGEST) for reason in said.reasons[:_MOST_REASONS]),
        missing=tuple(
            replace(each, kind=one_line(each.kind), what=one_line(each.what, _LONGEST))
            for each in said.missing[:_MOST_REASONS]
        ),
        version=one_line(said.version),
        waiting=replace(waiting, subject=one_line(waiting.subject), reason=one_line(waiting.reason, _LONGEST)),
    )


def _runs(wire: Wire) -> list[RunSeen]:
    """Runs that may not get on, as the monitor's live projection has them; those in line first."""
    queued = ask_runs(wire, _MOST_QUEUED, "queued", patience_s=_TIMEOUT_S)["runs"]
    running = [run for run in ask_runs(wire, _MOST_RUNS, "running", patience_s=_TIMEOUT_S)["runs"] if run["detail"]]
    paused = ask_runs(wire, _MOST_RUNS, "paused", patience_s=_TIMEOUT_S)["runs"]
    deferred = ask_runs(wire, _MOST_RUNS, "deferred", patience_s=_TIMEOUT_S)["runs"]
    return [
        *(RunSeen(**_place(run), queued_since=_queued_at(wire, run)) for run in queued),
        *(RunSeen(**_place(run), detail="it is paused", paused=True) for run in paused),
        *(RunSeen(**_place(run), detail=one_line(run["detail"], _LONGEST), deferred=True) for run in deferred),
        *(RunSeen(**_place(run), detail=one_line(run["detail"], _LONGEST)) for run in running),
    ]


def _place(run: Json) -> Json:
    return {"run_id": one_line(run["run_id"]), "stage": one_line(run["stage"])}


def _alarms(wire: Wire) -> list[AlarmSeen]:
    """Alarms that nobody looks after, newest first."""
    return [
        AlarmSeen(
            alarm_id=one_line(alarm["alarm_id"]),
            model=f"{one_line(alarm['model'])}@{alarm['model_version']}",
            detail=one_line(alarm["detail"], _LONGEST),
            since=datetime.fromisoformat(alarm["raised_at"]).timestamp(),
        )
        for alarm in ask(wire, "alarm_list", patience_s=_TIMEOUT_S, limit=_MOST_ALARMS)["alarms"]
        if alarm["status"] == "open"
    ]


def _queued_at(wire: Wire, run: Json) -> float:
    return _stored_at(wire, "CONTROL", {"last_by_subj": f"state.run.{run['stage']}.v1.{run['run_id']}"})


def _over_the_bus(bus: Address, question: Callable[[Wire], T]) -> T | None:
    """What can be had in time, else None. Who does not answer is named elsewhere."""
    try:
        with Wire(bus, _TIMEOUT_S) as wire:
            return question(wire)
    except (WireError, ValueError):
        return None
