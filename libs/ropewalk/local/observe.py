"""Looks at a running stack for `ropewalk status`: its disks, its broker, its services. Bounded in time.

Whatever does not answer is itself an answer, so nothing here raises for a part that is broken.
"""

import asyncio
import json
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import nats.errors
from nats.aio.client import Client

from ropewalk.events.run import stage_state_subject
from ropewalk.events.streams import stream_of
from ropewalk.local.disks import disks_of
from ropewalk.local.layout import Layout
from ropewalk.local.ports import LOOPBACK
from ropewalk.local.problems import BrokerView, RunSeen, Seen, ServiceAnswer, StreamUse
from ropewalk.local.state import StackState
from ropewalk.projections.asking import SUBJECT
from ropewalk.runtime.lag import ConsumerLag, consumer_lag
from ropewalk.runtime.waiting import Waiting

T = TypeVar("T")
_TIMEOUT_S = 0.7
_MOST_RUNS = 200
_MOST_QUEUED = 20


@dataclass(frozen=True)
class _Asked:
    services: tuple[ServiceAnswer, ...]
    lags: tuple[ConsumerLag, ...] = ()
    runs: tuple[RunSeen, ...] = ()


async def observe(layout: Layout, state: StackState, bus_url: str, services: tuple[str, ...]) -> Seen:
    """Ask everything at once; takes at most a second."""
    broker, asked = await asyncio.gather(
        broker_view(f"http://{LOOPBACK}:{state.ports.nats_monitor}"), _over_the_bus(bus_url, services)
    )
    wanted = sum(stream.max_bytes - stream.num_bytes for stream in broker.streams)
    return Seen(
        now=time.time(),
        broker=broker,
        disks=tuple(disks_of(layout, wanted)),
        processes=state.processes,
        services=asked.services,
        lags=asked.lags,
        runs=asked.runs,
    )


async def broker_view(url: str) -> BrokerView:
    """nats-server's own words: is it well, what does it hold, which limits are near."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
            health, store = await asyncio.gather(client.get("/healthz"), client.get("/jsz?streams=1&config=1"))
            return _view(health.json().get("error", ""), store.json())
    except (httpx.HTTPError, ValueError):
        return BrokerView()


def _view(error: str, store: dict[str, object]) -> BrokerView:
    accounts = store.get("account_details") or []
    assert isinstance(accounts, list)
    streams = [stream for account in accounts for stream in account.get("stream_detail") or []]
    config, stored = store.get("config") or {}, store.get("storage")
    assert isinstance(config, dict)
    return BrokerView(
        answers=True,
        error=error,
        stored_bytes=stored if isinstance(stored, int) else 0,
        max_store_bytes=config.get("max_storage", 0),
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


async def _over_the_bus(bus_url: str, services: tuple[str, ...]) -> _Asked:
    client = Client()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await client.connect(bus_url, name="status", allow_reconnect=False, error_cb=_ignore)
        asking = asyncio.gather(*(_ask(client, service) for service in services))
        answers, lags, runs = await asyncio.gather(
            asking, _or_nothing(consumer_lag(client)), _or_nothing(_runs(client))
        )
        return _Asked(tuple(answers), tuple(lags), tuple(runs))
    except (nats.errors.Error, OSError, TimeoutError):
        return _Asked(tuple(ServiceAnswer(service=service, answered=False) for service in services))
    finally:
        await client.close()


async def _or_nothing(asked: Awaitable[list[T]]) -> list[T]:
    """What can be had in time. Who does not answer is named elsewhere."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await asked
    except (nats.errors.Error, ValueError, TimeoutError):
        return []


async def _runs(client: Client) -> list[RunSeen]:
    """Runs that may not get on, as the monitor's live projection has them; the longest in line first."""
    troubled = [run for run in await _run_list(client, "running") if run["detail"]]
    queued = (await _run_list(client, "queued"))[:_MOST_QUEUED]
    since = await asyncio.gather(*(_stage_changed_at(client, run["stage"], run["run_id"]) for run in queued))
    return [
        *(
            RunSeen(run_id=run["run_id"], stage=run["stage"], queued_since=at)
            for run, at in zip(queued, since, strict=True)
        ),
        *(RunSeen(run_id=run["run_id"], stage=run["stage"], detail=run["detail"]) for run in troubled),
    ]


async def _run_list(client: Client, status: str) -> list[dict[str, Any]]:
    question = json.dumps({"limit": _MOST_RUNS, "status": status}).encode()
    reply = await client.request(f"{SUBJECT}.run_list", question, timeout=_TIMEOUT_S)
    runs: list[dict[str, Any]] = json.loads(reply.data).get("runs", [])
    return runs


async def _stage_changed_at(client: Client, stage: str, run_id: str) -> float:
    subject = stage_state_subject(stage, run_id)
    raw = await client.jetstream(timeout=_TIMEOUT_S).get_last_msg(stream_of(subject), subject)
    return raw.time.timestamp() if raw.time is not None else 0.0


async def _ask(client: Client, service: str) -> ServiceAnswer:
    try:
        reply = await client.request(f"ctl.ping.{service}", b"", timeout=_TIMEOUT_S)
        said = json.loads(reply.data)
    except (nats.errors.Error, ValueError, TimeoutError):
        return ServiceAnswer(service=service, answered=False)
    return ServiceAnswer(
        service=service,
        answered=True,
        reasons=tuple(said.get("reasons", ())),
        waiting=Waiting(**said.get("waiting", {})),
    )


async def _ignore(_: Exception) -> None:
    """That a service does not answer says it."""
