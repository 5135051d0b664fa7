"""Looks at a running stack for `ropewalk status`: its disks, its broker, its services. Bounded in time.

Whatever does not answer is itself an answer, so nothing here raises for a part that is broken.
"""

import asyncio
import json
import time

import httpx
import nats.errors
from nats.aio.client import Client

from ropewalk.local.disks import disks_of
from ropewalk.local.layout import Layout
from ropewalk.local.ports import LOOPBACK
from ropewalk.local.problems import BrokerView, Seen, ServiceAnswer, StreamUse
from ropewalk.local.state import StackState
from ropewalk.runtime.lag import ConsumerLag, consumer_lag
from ropewalk.runtime.waiting import Waiting

_TIMEOUT_S = 0.7


async def observe(layout: Layout, state: StackState, bus_url: str, services: tuple[str, ...]) -> Seen:
    """Ask everything at once; takes at most a second."""
    broker, (answers, lags) = await asyncio.gather(
        broker_view(f"http://{LOOPBACK}:{state.ports.nats_monitor}"), _over_the_bus(bus_url, services)
    )
    wanted = sum(stream.max_bytes - stream.num_bytes for stream in broker.streams)
    return Seen(
        now=time.time(),
        broker=broker,
        disks=tuple(disks_of(layout, wanted)),
        processes=state.processes,
        services=answers,
        lags=lags,
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


async def _over_the_bus(
    bus_url: str, services: tuple[str, ...]
) -> tuple[tuple[ServiceAnswer, ...], tuple[ConsumerLag, ...]]:
    client = Client()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await client.connect(bus_url, name="status", allow_reconnect=False, error_cb=_ignore)
        asking = asyncio.gather(*(_ask(client, service) for service in services))
        answers, lags = await asyncio.gather(asking, _lags(client))
        return tuple(answers), lags
    except (nats.errors.Error, OSError, TimeoutError):
        return tuple(ServiceAnswer(service=service, answered=False) for service in services), ()
    finally:
        await client.close()


async def _lags(client: Client) -> tuple[ConsumerLag, ...]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return tuple(await consumer_lag(client))
    except (nats.errors.Error, TimeoutError):
        return ()


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
