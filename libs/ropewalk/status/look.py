"""Looks at a running stack for `ropewalk status`: its disks, its broker, its services. Bounded in time.

Whatever does not answer is itself an answer, so nothing here raises for a part that is broken. Everything is asked
over plain sockets from a few threads: the asynchronous libraries take longer to import than all of this to run.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from ropewalk.bus.consumer_lag import ConsumerLag
from ropewalk.bus.waiting import Waiting
from ropewalk.bus.wire import Address, Wire, WireError, open_wire
from ropewalk.events.foreign import one_line
from ropewalk.local.broker_health import health
from ropewalk.local.broker_health import streams as streams_of
from ropewalk.local.disks import disks_of
from ropewalk.local.layout import Layout
from ropewalk.local.problems import AlarmSeen, BrokerView, RunSeen, Seen, ServiceAnswer, StreamUse
from ropewalk.local.state import StackState
from ropewalk.projections.asking import ask, ask_runs

T = TypeVar("T")
Json = dict[str, Any]

_TIMEOUT_S = 0.7
_MOST_RUNS = 200
_MOST_QUEUED = 20
_MOST_ALARMS = 100


def observe(layout: Layout, state: StackState, bus: Address, system: Address, services: tuple[str, ...]) -> Seen:
    """Ask everything at once; takes about a second at most. `system`: as whom the server tells about itself."""
    with ThreadPoolExecutor(max_workers=len(services) + 3) as pool:
        looking = pool.submit(_look_at_broker, system, bus)
        listing = pool.submit(_over_the_bus, bus, _runs)
        alarming = pool.submit(_over_the_bus, bus, _alarms)
        answers = tuple(pool.map(lambda service: _ask(bus, service), services))
        broker, lags = looking.result()
        runs = listing.result() or []
        alarms = alarming.result() or []
    wanted = sum(stream.max_bytes - stream.num_bytes for stream in broker.streams)
    return Seen(
        now=time.time(),
        broker=broker,
        disks=tuple(disks_of(layout, state.objects_url, wanted)),
        processes=state.processes,
        services=answers,
        lags=tuple(lags),
        runs=tuple(runs),
        alarms=tuple(alarms),
    )


def _look_at_broker(system: Address, bus: Address) -> tuple[BrokerView, list[ConsumerLag]]:
    """nats-server's own words: is it well, what does it hold, which limits are near, who is behind."""
    try:
        ailment = health(system, _TIMEOUT_S)
        store = streams_of(system, _TIMEOUT_S)
    except (OSError, ValueError):
        return BrokerView(), []
    found = [stream for account in store.get("account_details") or [] for stream in account.get("stream_detail") or []]
    lags = _over_the_bus(bus, lambda wire: list(_lags(wire, found)))
    return _view(ailment, store, found), lags or []


def _view(error: str, store: Json, streams: list[Json]) -> BrokerView:
    return BrokerView(
        answers=True,
        error=error,
        stored_bytes=store.get("storage", 0),
        max_store_bytes=store.get("config", {}).get("max_storage", 0),
        streams=tuple(
            StreamUse(name=stream["name"], num_bytes=stream["state"]["bytes"], max_bytes=stream["config"]["max_bytes"])
            for stream in streams
            if stream["config"]["discard"] == "new" and stream["config"]["max_bytes"] > 0
        ),
        num_dead_letters=sum(_open_letters(stream["state"]) for stream in streams if stream["name"] == "DLQ"),
    )


def _open_letters(state: dict[str, int]) -> int:
    """A letter has a subject of its own; what became of it is a second message there (`runtime.dead_letters`)."""
    return max(0, 2 * state.get("num_subjects", 0) - state["messages"])


def _lags(wire: Wire, streams: list[Json]) -> Iterator[ConsumerLag]:
    """Of the consumers that are behind; their oldest message is looked up, the others cost nothing."""
    for info in (info for stream in streams for info in stream.get("consumer_detail") or []):
        if info["config"].get("durable_name") and (info["num_pending"] or info["num_ack_pending"]):
            yield ConsumerLag(
                stream=info["stream_name"],
                consumer=info["name"],
                pending=info["num_pending"],
                ack_pending=info["num_ack_pending"],
                redelivered=info["num_redelivered"],
                oldest_s=_oldest_s(wire, info),
            )


def _oldest_s(wire: Wire, info: Json) -> float:
    """Age of the first message behind the ack floor, as `runtime.lag` has it."""
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


def _ask(bus: Address, service: str) -> ServiceAnswer:
    said = _over_the_bus(bus, lambda wire: json.loads(wire.request(f"ctl.ping.{service}", b"").body))
    if said is None:
        return ServiceAnswer(service=service, answered=False)
    return ServiceAnswer(
        service=service,
        answered=True,
        reasons=tuple(said.get("reasons", ())),
        waiting=Waiting(**said.get("waiting", {})),
    )


def _runs(wire: Wire) -> list[RunSeen]:
    """Runs that may not get on, as the monitor's live projection has them; those in line first."""
    queued = ask_runs(wire, _MOST_QUEUED, "queued")["runs"]
    running = ask_runs(wire, _MOST_RUNS, "running")["runs"]
    return [
        *(RunSeen(run_id=run["run_id"], stage=run["stage"], queued_since=_queued_at(wire, run)) for run in queued),
        *(RunSeen(run_id=run["run_id"], stage=run["stage"], detail=run["detail"]) for run in running if run["detail"]),
    ]


def _alarms(wire: Wire) -> list[AlarmSeen]:
    """Alarms that nobody looks after, newest first."""
    return [
        AlarmSeen(
            alarm_id=one_line(alarm["alarm_id"]),
            model=f"{one_line(alarm['model'])}@{alarm['model_version']}",
            detail=alarm["detail"],
            since=datetime.fromisoformat(alarm["raised_at"]).timestamp(),
        )
        for alarm in ask(wire, "alarm_list", limit=_MOST_ALARMS)["alarms"]
        if alarm["status"] == "open"
    ]


def _queued_at(wire: Wire, run: Json) -> float:
    return _stored_at(wire, "CONTROL", {"last_by_subj": f"state.run.{run['stage']}.v1.{run['run_id']}"})


def _over_the_bus(bus: Address, question: Callable[[Wire], T]) -> T | None:
    """What can be had in time, else None. Who does not answer is named elsewhere."""
    try:
        with open_wire(bus, _TIMEOUT_S) as wire:
            return question(wire)
    except (WireError, ValueError):
        return None
