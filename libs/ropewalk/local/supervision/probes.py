"""Is a process ready? Cheap questions, asked a few times a second only while something starts."""

import asyncio
import json
from pathlib import Path

import httpx
import nats.errors
from nats.aio.client import Client as NatsClient

from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.bus.connection import connect
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import Address
from ropewalk.errors import RopewalkError
from ropewalk.local.broker import health as broker_health
from ropewalk.local.supervision.spec import Probe
from ropewalk.storage.probing import has_room

_TIMEOUT_S = 2.0
# Only loopback is asked, without TLS: reading the authorities (`verify`) would take 36 ms of CPU for every question.


def http_answers(url: str, socket: Path | None = None) -> Probe:
    """Ready when a GET returns 200; `socket` is the Unix socket where the server listens, if it has no port."""

    async def probe() -> bool:
        transport = httpx.AsyncHTTPTransport(verify=False, uds=str(socket)) if socket else None
        try:
            async with httpx.AsyncClient(
                timeout=_TIMEOUT_S, trust_env=False, verify=False, transport=transport
            ) as client:
                return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return probe


def broker_serves(address: Address) -> Probe:
    """Ready when the server lets us in and JetStream works."""

    async def probe() -> bool:
        try:
            return not await asyncio.to_thread(lambda: broker_health.health(address, jetstream_only=True))
        except (OSError, ValueError):
            return False

    return probe


def stuck_after_full_disk(address: Address, store: Path) -> Probe:
    """True when the server has met a full disk and there is room again: it only writes again after a restart."""

    async def probe() -> bool:
        try:
            said = await asyncio.to_thread(broker_health.health, address)
        except (OSError, ValueError):
            return False
        return "no space left on device" in said and has_room(store)

    return probe


def socket_accepts(path: Path) -> Probe:
    """Ready when something listens on a Unix socket."""

    async def probe() -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(path))
        except OSError:
            return False
        writer.close()
        return True

    return probe


def all_ready(*probes: Probe) -> Probe:
    """Ready when every probe says so, asked in order."""

    async def probe() -> bool:
        for each in probes:
            if not await each():
                return False
        return True

    return probe


async def _bus_answers(client: NatsClient) -> bool:
    try:
        await client.flush(timeout=int(_TIMEOUT_S))
    except (RopewalkError, nats.errors.Error, OSError, TimeoutError):
        return False
    return bool(client.is_connected)


def silent_when_not(ready: Probe) -> Probe:
    """For an engine that is asked by what also tells that it is ready."""

    async def probe() -> bool:
        return not await ready()

    return probe


async def is_bound(client: NatsClient, service: str, timeout_s: float) -> bool:
    """Whether an instance of the service answers a ping in time and says that it takes messages."""
    try:
        reply = await client.request(f"ctl.ping.{service}", b"", timeout=timeout_s)
        return bool(json.loads(reply.data).get("bound"))
    except (RopewalkError, nats.errors.Error, OSError, ValueError, TimeoutError):
        pass_on_cancellation()
        return False


class ServicePings:
    """Asks services on the bus. Holds one connection, made when first needed."""

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._client: NatsClient | None = None
        self._connecting = asyncio.Lock()  # seven probes ask at once, and one connection is enough

    def answers(self, service: str) -> Probe:
        """Ready when the service says on `ctl.ping.<service>` that its consumers are bound."""

        async def probe() -> bool:
            try:
                return await is_bound(await self._connected(), service, _TIMEOUT_S)
            except (RopewalkError, nats.errors.Error, OSError):  # no connection yet
                return False

        return probe

    def silent(self, service: str) -> Probe:
        """True when the bus works and the service does not answer: it hangs, is stopped or has lost the bus."""

        async def probe() -> bool:
            try:
                client = await self._connected()
                await client.request(f"ctl.ping.{service}", b"", timeout=_TIMEOUT_S)
            except nats.errors.NoRespondersError:
                return True
            except (nats.errors.TimeoutError, TimeoutError):
                return await _bus_answers(client)
            except (RopewalkError, nats.errors.Error, OSError):
                return False
            return False

        return probe

    async def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> NatsClient:
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await connect(self._settings, "supervisor")
            return self._client
