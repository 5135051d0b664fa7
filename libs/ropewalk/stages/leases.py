"""The right to work on a stage: a key that expires unless its holder renews it.

The revision at which the key was acquired is the fencing epoch. Renewals run in a thread with its own event loop
and connection, so a busy service does not lose its lease. A holder that could not renew for 0.75 of the TTL has no
authority, before anybody else may start: its work goes on and what it says waits. When the broker answers again the
holder renews, or takes the expired key back if nobody else did, and its authority returns; if somebody else holds the
key now, the lease is lost. So a broker that is away costs no work, and a holder that is cut off changes nothing.
Key-value helpers of nats-py are not used: `update` has no TTL, and after an expiry marker `get` and `create`
contradict each other.
"""

import asyncio
import contextlib
import json
import logging
import math
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import nats.errors
import nats.js.errors
from nats.js.api import RawStreamMsg

from ropewalk.bus.cancelling import pass_on_cancellation
from ropewalk.bus.client import GuardedClient
from ropewalk.bus.connection import connect
from ropewalk.bus.errors import BusError
from ropewalk.bus.sending import WRONG_SEQUENCE
from ropewalk.bus.settings import NatsSettings
from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.stages.errors import LeaseLostError

logger = logging.getLogger(__name__)

T = TypeVar("T")
_AUTHORITY = 0.75  # of the TTL: the holder stops speaking before the server lets somebody else in
_RENEWALS_PER_TTL = 4  # so that three may be lost before the key expires
_PATIENCE_S = 900.0  # a holder that hears nothing for this long gives up
_WAIT_S = 0.05  # between two looks whether the authority is back
_AWAY_S = 0.5  # before a broker that is away is asked again
_CONNECT_AGAIN_S = 0.5
_OPERATION = "KV-Operation"  # header of a key that its holder gave back
MARKER = "Nats-Marker-Reason"  # header of what the server writes when a key expires


@dataclass
class Lease:
    """A lease we hold. `on_lost` is called once, from the heartbeat thread."""

    subject: str
    epoch: int
    revision: int
    ttl_s: float
    on_lost: Callable[[], None]
    renewed_at: float = field(default_factory=time.monotonic)
    lost: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # in the heartbeat loop: one write at a time

    @property
    def has_authority(self) -> bool:
        """Whether nobody else can hold the key now."""
        return not self.lost and time.monotonic() - self.renewed_at < self.ttl_s * _AUTHORITY

    async def authority(self) -> None:
        """Wait until the holder may speak. Raises LeaseLostError when it never may again."""
        while not self.has_authority:
            if self.lost:
                raise LeaseLostError(f"{self.subject} belongs to somebody else")
            await asyncio.sleep(_WAIT_S)

    async def speak(self, publish: Callable[[], Awaitable[None]]) -> None:
        """Publish something that only the holder may say. Raises LeaseLostError.

        An attempt lasts no longer than nobody else can hold the key; the next one sends the same id again.
        """
        while True:
            await self.authority()
            try:
                async with asyncio.timeout(self.ttl_s * (1 - _AUTHORITY)):
                    return await publish()
            except TimeoutError:
                logger.info("%s: not said yet", self.subject)


def lease_subject(stage: str, run_id: str) -> str:
    """Where the lease of a stage lives."""
    return f"$KV.lease.{stage}.{run_id}"


class LeaseKeeper:
    """Acquires, renews and releases the leases of one service instance."""

    def __init__(self, settings: NatsSettings, holder: str, ttl_s: float) -> None:
        self._settings = settings
        self._holder = holder
        self._nonce = uuid.uuid4().hex  # two processes may bear the same name, one after the other
        self._ttl_s = ttl_s
        self._ttl = {"Nats-TTL": f"{ttl_s:.0f}s"}
        self._held: dict[str, Lease] = {}  # by subject; two threads read it, so under `_lock`
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._connected = threading.Event()
        self._connection: GuardedClient | None = None
        self._reconnected_at = -math.inf

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

    def why_refused(self) -> str:
        """What the bus does not permit this keeper; empty if nothing. A reason for `/ready`."""
        return "" if self._connection is None else self._connection.denied.reason()

    async def acquire(
        self, stage: str, run_id: str, on_lost: Callable[[], None], *, by_force: bool = False
    ) -> Lease | None:
        """Take the lease, or None if somebody holds it. By force it is taken from a holder that hangs."""
        return await self._in_loop(self._acquire(lease_subject(stage, run_id), on_lost, by_force))

    async def release(self, lease: Lease) -> None:
        """Give the lease back, so that others need not wait for it to expire. Harmless for one that was lost."""
        self._drop(lease)
        with contextlib.suppress(LeaseLostError, nats.errors.Error, TimeoutError):
            await self._in_loop(self._give_back(lease))

    async def _give_back(self, lease: Lease) -> None:
        async with lease.turn:
            await self._put(lease.subject, b"", lease.revision, {_OPERATION: "DEL"})

    async def is_live(self, stage: str, run_id: str) -> bool:
        """Whether anybody holds the lease now. Raises NATS errors while the broker is away."""
        return await self._in_loop(self._is_live(lease_subject(stage, run_id)))

    async def renew(self, lease: Lease) -> bool:
        """Renew now, or take the expired key back. False if the lease is lost."""
        await self._in_loop(self._patiently(lambda: self._renew(lease)))
        return not lease.lost

    @property
    def is_settling(self) -> bool:
        """Whether the broker came back within the last TTL: holders of expired leases take them back first."""
        return time.monotonic() - self._reconnected_at < self._ttl_s

    async def _on_reconnected(self) -> None:
        self._reconnected_at = time.monotonic()

    async def _is_live(self, subject: str) -> bool:
        current = await self._patiently(lambda: self._current(subject))
        return current is not None and _is_held(current)

    async def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _acquire(self, subject: str, on_lost: Callable[[], None], by_force: bool) -> Lease | None:
        asked_at, epoch = await self._patiently(lambda: self._try_to_acquire(subject, by_force))
        if not epoch:
            return None
        lease = Lease(
            subject=subject, epoch=epoch, revision=epoch, ttl_s=self._ttl_s, on_lost=on_lost, renewed_at=asked_at
        )
        with self._lock:
            self._held[subject] = lease
        return lease

    async def _try_to_acquire(self, subject: str, by_force: bool) -> tuple[float, int]:
        """When we asked, and the epoch; 0 if somebody holds the key. Raises NATS errors while the broker is away."""
        asked_at = time.monotonic()
        current = await self._current(subject)
        if current is not None and _is_held(current) and not by_force:
            ours = _content(current) == {"holder": self._holder, "nonce": self._nonce}
            with self._lock:  # acquired by us just now, but the acknowledgement was lost
                return asked_at, (current.seq or 0) if ours and subject not in self._held else 0
        body = json.dumps({"holder": self._holder, "nonce": self._nonce}).encode()
        try:
            return asked_at, await self._put(subject, body, current.seq or 0 if current else 0, self._ttl)
        except LeaseLostError:
            return asked_at, 0

    async def _current(self, subject: str) -> RawStreamMsg | None:
        assert self._connection is not None
        try:
            return await self._connection.jetstream().get_last_msg(LEASE_STREAM, subject)
        except nats.js.errors.NotFoundError:
            return None

    async def _patiently(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Repeat while the broker is away."""
        while True:
            try:
                return await attempt()
            except (nats.errors.Error, nats.js.errors.ServiceUnavailableError, TimeoutError) as error:
                pass_on_cancellation()
                logger.info("bus away (%s), a lease waits", type(error).__name__)
                await asyncio.sleep(_AWAY_S)

    async def _put(self, subject: str, body: bytes, revision: int, headers: dict[str, str]) -> int:
        assert self._connection is not None
        reply = await self._connection.request(
            subject,
            body,
            timeout=2.0,
            headers={"Nats-Expected-Last-Subject-Sequence": str(revision), **headers},
        )
        answer = json.loads(reply.data)
        if (error := answer.get("error")) is not None:
            if error.get("err_code") in WRONG_SEQUENCE:
                raise LeaseLostError(f"{subject}: {error.get('description')}")
            nats.js.errors.APIError.from_error(error)  # raises: no room, for one, which says nothing about the holder
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
            try:
                name = f"{self._holder}-leases"
                self._connection = await connect(self._settings, name, reconnected_cb=self._on_reconnected)
                self._connected.set()
            except (BusError, OSError, nats.errors.Error, TimeoutError) as error:
                logger.warning("no leases yet: %s", error)  # our key may just be changing
                await asyncio.sleep(_CONNECT_AGAIN_S)
        while True:
            await asyncio.sleep(self._ttl_s / _RENEWALS_PER_TTL)
            with self._lock:
                held = list(self._held.values())
            await asyncio.gather(*map(self._keep, held))

    async def _keep(self, lease: Lease) -> None:
        error = await outcome_or_error(self._renew(lease))
        if error is not None and time.monotonic() - lease.renewed_at > _PATIENCE_S:
            self._lose(lease, f"nothing heard of the broker for {_PATIENCE_S:.0f} s ({type(error).__name__})")

    async def _renew(self, lease: Lease) -> None:
        async with lease.turn:
            if self._held.get(lease.subject) is not lease:
                return  # given back or lost meanwhile
            try:
                await self._write(lease, lease.revision)
            except LeaseLostError:
                await self._regain(lease)

    async def _write(self, lease: Lease, revision: int) -> None:
        body = json.dumps({"holder": self._holder, "nonce": self._nonce, "epoch": lease.epoch}).encode()
        asked_at = time.monotonic()
        lease.revision = await self._put(lease.subject, body, revision, self._ttl)
        lease.renewed_at = asked_at

    async def _regain(self, lease: Lease) -> None:
        """The key moved on: by our own renewal whose acknowledgement was lost, by its expiry, or by somebody else."""
        current = await self._current(lease.subject)
        content = _content(current) if current is not None else {}
        ours = content.get("nonce") == self._nonce and content.get("epoch", lease.epoch) == lease.epoch
        expired = current is None or MARKER in (current.headers or {})
        if not ours and not expired:
            self._lose(lease, "another revision is in place")
            return
        try:
            await self._write(lease, current.seq or 0 if current else 0)
        except LeaseLostError:
            self._lose(lease, "somebody else was faster to take the expired key")

    def _drop(self, lease: Lease) -> bool:
        """Stop renewing it. Whether that is news; a later lease of the same key is another one and stays."""
        with self._lock:
            held = self._held.get(lease.subject) is lease
            if held:
                del self._held[lease.subject]
        return held

    def _lose(self, lease: Lease, reason: str) -> None:
        if self._drop(lease):
            logger.warning("lost the lease %s: %s", lease.subject, reason)
            lease.lost = True
            lease.on_lost()


def _is_held(current: RawStreamMsg) -> bool:
    headers = current.headers or {}
    return MARKER not in headers and _OPERATION not in headers


def _content(current: RawStreamMsg) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(current.data or b"{}")
    return content
