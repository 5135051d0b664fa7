"""The right to work on a stage: a key that expires unless its holder renews it.

The revision at which the key was acquired is the fencing epoch. Renewals run in a thread with its own event loop
and connection, so a busy service does not lose its lease. A holder that could not renew for 0.75 of the TTL stops
by itself, before anybody else may start. Key-value helpers of nats-py are not used: `update` has no TTL, and after
an expiry marker `get` and `create` contradict each other.
"""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from ropewalk.events.streams import LEASE_STREAM
from ropewalk.runtime.connection import connect_options
from ropewalk.runtime.delivery import outcome_or_error
from ropewalk.runtime.errors import LeaseLostError
from ropewalk.runtime.settings import NatsSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")
_SELF_STOP = 0.75
_RENEWALS_PER_TTL = 6
_OPERATION = "KV-Operation"
MARKER = "Nats-Marker-Reason"


@dataclass
class Lease:
    """A lease we hold. `on_lost` is called once, from the heartbeat thread."""

    subject: str
    epoch: int
    revision: int
    on_lost: Callable[[], None]
    renewed_at: float = field(default_factory=time.monotonic)


def lease_subject(stage: str, run_id: str) -> str:
    """Where the lease of a stage lives."""
    return f"$KV.lease.{stage}.{run_id}"


class LeaseKeeper:
    """Acquires, renews and releases the leases of one service instance."""

    def __init__(self, settings: NatsSettings, holder: str, ttl_s: float) -> None:
        self._settings = settings
        self._holder = holder
        self._ttl_s = ttl_s
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._connected = threading.Event()
        self._connection: Client | None = None

    async def start(self) -> None:
        """Connect and begin to renew."""
        self._thread.start()
        await asyncio.to_thread(self._connected.wait)

    async def stop(self) -> None:
        """Stop renewing. Leases not released expire by themselves."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 5.0)

    def why_not_renewing(self) -> str:
        """Why no lease can be renewed; empty while the thread lives. A reason for `/ready`."""
        return "" if self._thread.is_alive() else "the thread that renews its leases does not run"

    async def acquire(self, stage: str, run_id: str, on_lost: Callable[[], None]) -> Lease | None:
        """Take the lease, or None if somebody holds it."""
        return await self._in_loop(self._acquire(lease_subject(stage, run_id), on_lost))

    async def release(self, lease: Lease) -> None:
        """Give the lease back, so that others need not wait for it to expire."""
        with self._lock:
            self._held.pop(lease.subject, None)
        with contextlib.suppress(LeaseLostError, nats.errors.Error, TimeoutError):
            await self._in_loop(self._put(lease.subject, b"", lease.revision, {_OPERATION: "DEL"}))

    async def is_live(self, stage: str, run_id: str) -> bool:
        """Whether anybody holds the lease now. Raises NATS errors while the broker is away."""
        return await self._in_loop(self._is_live(lease_subject(stage, run_id)))

    async def _is_live(self, subject: str) -> bool:
        assert self._connection is not None
        try:
            current = await self._connection.jetstream().get_last_msg(LEASE_STREAM, subject)
        except nats.js.errors.NotFoundError:
            return False
        headers = current.headers or {}
        return MARKER not in headers and _OPERATION not in headers

    async def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _acquire(self, subject: str, on_lost: Callable[[], None]) -> Lease | None:
        assert self._connection is not None
        try:
            current = await self._connection.jetstream().get_last_msg(LEASE_STREAM, subject)
            headers, revision = current.headers or {}, current.seq or 0
            if MARKER not in headers and _OPERATION not in headers:
                return None
        except nats.js.errors.NotFoundError:
            revision = 0
        body = json.dumps({"holder": self._holder}).encode()
        try:
            epoch = await self._put(subject, body, revision, {"Nats-TTL": f"{self._ttl_s:.0f}s"})
        except LeaseLostError:
            return None
        lease = Lease(subject=subject, epoch=epoch, revision=epoch, on_lost=on_lost)
        with self._lock:
            self._held[subject] = lease
        return lease

    async def _put(self, subject: str, body: bytes, revision: int, headers: dict[str, str]) -> int:
        assert self._connection is not None
        reply = await self._connection.request(
            subject,
            body,
            timeout=2.0,
            headers={"Nats-Expected-Last-Subject-Sequence": str(revision), **headers},
        )
        answer = json.loads(reply.data)
        if "error" in answer:
            raise LeaseLostError(f"{subject}: {answer['error'].get('description')}")
        return int(answer["seq"])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        renewing = self._loop.create_task(self._connect_and_renew())
        self._loop.run_forever()
        renewing.cancel()
        if self._connection is not None:
            self._loop.run_until_complete(self._connection.close())
        self._loop.run_until_complete(asyncio.gather(renewing, return_exceptions=True))
        self._loop.close()

    async def _connect_and_renew(self) -> None:
        while self._connection is None:
            with contextlib.suppress(OSError, nats.errors.Error, TimeoutError):
                self._connection = await nats.connect(**connect_options(self._settings, f"{self._holder}-leases"))
                self._connected.set()
        while True:
            await asyncio.sleep(self._ttl_s / _RENEWALS_PER_TTL)
            with self._lock:
                held = list(self._held.values())
            for lease in held:
                error = await outcome_or_error(self._renew(lease))
                if error is not None and time.monotonic() - lease.renewed_at > self._ttl_s * _SELF_STOP:
                    self._lose(lease, f"no renewal in time ({type(error).__name__})")

    async def _renew(self, lease: Lease) -> None:
        body = json.dumps({"holder": self._holder, "epoch": lease.epoch}).encode()
        try:
            lease.revision = await self._put(lease.subject, body, lease.revision, {"Nats-TTL": f"{self._ttl_s:.0f}s"})
            lease.renewed_at = time.monotonic()
        except LeaseLostError:
            if not await self._still_ours(lease):
                self._lose(lease, "another revision is in place")

    async def _still_ours(self, lease: Lease) -> bool:
        """After a lost acknowledgement the newest revision may be our own renewal: adopt it."""
        assert self._connection is not None
        with contextlib.suppress(nats.errors.Error, TimeoutError, ValueError):
            current = await self._connection.jetstream().get_last_msg(LEASE_STREAM, lease.subject)
            content = json.loads(current.data or b"{}")
            if content.get("holder") == self._holder and content.get("epoch") == lease.epoch:
                lease.revision, lease.renewed_at = current.seq or 0, time.monotonic()
                return True
        return False

    def _lose(self, lease: Lease, reason: str) -> None:
        with self._lock:
            lost = self._held.pop(lease.subject, None)
        if lost is not None:
            logger.warning("lost the lease %s: %s", lease.subject, reason)
            lease.on_lost()
