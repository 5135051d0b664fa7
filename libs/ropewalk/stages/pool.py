"""The pool of an instance: how its snapshot is read, changed together with a stage, and watched.

The snapshot is one subject under compare-and-set. Whoever starts, queues or ends a stage writes the pool in the same
batch, so two instances can never give the same capacity away.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable

from ropewalk.bus.bus import Bus
from ropewalk.bus.cancelling import within
from ropewalk.bus.errors import ConflictError
from ropewalk.bus.sending import Outgoing
from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.events.resources import Resources
from ropewalk.events.run import PoolEntry, PoolState, StageCapacity
from ropewalk.stages.pool_policy import next_in_line
from ropewalk.telemetry.metrics import gauge

logger = logging.getLogger(__name__)

_TICK_S = 5.0  # how long a change that nobody told of stays unseen
_ABSENT_AFTER_S = 10.0  # first in line for so long and not started: its service is not there
_MOST_POOLS = 64  # of a stage; machines come and go, and the oldest names are forgotten first

OnTurn = Callable[[PoolEntry], Awaitable[None]]


class Pool:
    """One pool, as one service instance sees it. `lock` keeps the stages of this instance from racing each other."""

    def __init__(self, bus: Bus, name: str, room: Resources) -> None:
        self.name = name
        self.room = room
        self.lock = asyncio.Lock()
        self._bus = bus
        self._changed = asyncio.Event()
        self._passed_over: set[str] = set()  # names of stages
        self._head: tuple[int, PoolEntry | None] = (0, None)  # revision of the pool, and who was first in it
        self._head_since = 0.0

    async def read(self) -> tuple[PoolState, int]:
        """The newest snapshot and its revision; an empty pool at revision 0 if there was never one."""
        return await self.read_of(self.name)

    async def read_of(self, name: str) -> tuple[PoolState, int]:
        """The same of any pool: a stage may have been begun in another one."""
        state, revision = await self._bus.read_snapshot(PoolState, f"{PoolState.subject_prefix()}.{name}")
        return state or PoolState(run_id=name, capacity=self.room.cpus, room=self.room, operation_id=""), revision

    def change(self, pool: PoolState, revision: int, operation_id: str) -> Outgoing:
        """The message that replaces the snapshot of `revision` within a commit."""
        size = {"capacity": self.room.cpus, "room": self.room} if pool.run_id == self.name else {}
        written = pool.model_copy(update={**size, "operation_id": operation_id})
        return self._bus.prepare_snapshot(written, revision, operation_id)

    async def declare(self, stage: str) -> None:
        """Say how much room a stage can have here. A recipe that fits in no declared pool is refused at submission."""
        subject = f"{StageCapacity.subject_prefix()}.{stage}"
        while True:
            known, revision = await self._bus.read_snapshot(StageCapacity, subject)
            rooms = known.sizes if known else {}
            if rooms.get(self.name) == self.room:
                return None
            others = [(name, room) for name, room in rooms.items() if name != self.name][1 - _MOST_POOLS :]
            rooms = dict([*others, (self.name, self.room)])
            pools = {name: room.cpus for name, room in rooms.items()}
            operation_id = uuid.uuid4().hex
            try:
                wanted = StageCapacity(stage=stage, pools=pools, rooms=rooms, operation_id=operation_id)
                return await self._bus.replace(wanted, revision, operation_id)
            except ConflictError:
                logger.debug("another instance declared its pool of %s first", stage)

    def turns(self, pool: PoolState) -> tuple[PoolEntry, ...]:
        """Those whose turn it is, except where nobody comes to start them."""
        return next_in_line(pool, self.room, frozenset(self._passed_over))

    async def watch(self, on_turn: OnTurn) -> None:
        """Call `on_turn` for every entry whose turn it is, whenever the pool changes. Never ends."""
        following = asyncio.create_task(self._follow())
        try:
            while True:
                pool, revision = await self.read()
                self._look_for_absent(pool, revision)
                export_pool(pool)
                for entry in self.turns(pool):
                    error = await outcome_or_error(on_turn(entry))
                    if error is not None:
                        logger.error("%s of %s cannot be started", entry.stage, entry.run_id, exc_info=error)
                await within(_TICK_S, self._changed)
                self._changed.clear()
        finally:
            following.cancel()

    async def _follow(self) -> None:
        async for _ in self._bus.follow(f"{PoolState.subject_prefix()}.{self.name}", after=await self._bus.end()):
            self._changed.set()

    def _look_for_absent(self, pool: PoolState, revision: int) -> None:
        """Pass over a stage that was first in line for long and that nobody started, until it runs again."""
        self._passed_over -= {entry.stage for entry in pool.entries if entry.running}
        head = next(iter(self.turns(pool)), None)
        if self._head != (revision, head):
            self._head, self._head_since = (revision, head), time.monotonic()
        if head is not None and time.monotonic() - self._head_since > _ABSENT_AFTER_S:
            logger.warning("nobody starts %s of %s: those behind it go first", head.stage, head.run_id)
            self._passed_over.add(head.stage)


def export_pool(pool: PoolState) -> None:
    """The CPUs that stages of a pool use and those they wait for, as every instance sees them."""
    for state, is_running in (("running", True), ("waiting", False)):
        cpus = sum(entry.cpus for entry in pool.entries if entry.running is is_running)
        gauge("ropewalk.pool.cpus", cpus, pool=pool.run_id, state=state)
