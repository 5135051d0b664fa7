"""How a stage's state, its place in the pool and what follows are written: one batch, decided on what was read.

The state says whether a change is still allowed; the pool only says whether there is room. So a commit that lost
the race for the pool reads the pool again, and one that lost the race for its state is over.
"""

import contextlib
import uuid
from collections.abc import Sequence

from ropewalk.bus.bus import Bus
from ropewalk.bus.errors import ConflictError
from ropewalk.bus.sending import Outgoing
from ropewalk.events.base import Message
from ropewalk.events.run import PoolState, StageQueued, StageState
from ropewalk.stages.pool import Pool
from ropewalk.stages.pool_policy import enter, find, leave, start

PoolChanges = Sequence[tuple[PoolState, int]]

_MOST_RACES = 5  # with other instances; whoever loses them all leaves the stage where it is


class StageCommitter:
    """Writes stages and their pool."""

    def __init__(self, bus: Bus, pool: Pool) -> None:
        self._bus = bus
        self._pool = pool

    async def commit(self, state: StageState, revision: int, messages: Sequence[Message], changes: PoolChanges) -> int:
        """Write all or nothing and return the new revision of the state. Raises ConflictError.

        `changes` are the new pools, each with the revision it replaces.
        """
        outgoing = self._outgoing(state, messages)
        outgoing += [self._pool.change(pool, replaced, state.operation_id) for pool, replaced in changes]
        return await self._bus.commit(state, revision, outgoing)

    async def end(self, state: StageState, revision: int, messages: Sequence[Message]) -> None:
        """Write the last state of a stage and take it out of its pool, whatever that is by then.

        Raises ConflictError when the state itself has moved on.
        """
        if not state.pool:
            await self.commit(state, revision, messages, ())
            return
        while True:
            pool, pool_revision = await self._pool.read_of(state.pool)
            try:
                await self.commit(state, revision, messages, [(leave(pool, state.stage, state.run_id), pool_revision)])
                return
            except ConflictError:
                _, current = await self._bus.read_state(state.subject)
                if current != revision:
                    raise

    async def moved_here(self, state: StageState) -> PoolChanges | None:
        """The pools after a running stage has come to this one, if it ran in another; None if there is no room."""
        here = self._pool
        if not state.pool or state.pool == here.name:
            return ()
        pool, revision = await here.read()
        entered = enter(pool, state)
        if find(entered, state.stage, state.run_id) not in here.turns(entered):
            return None
        there, revision_there = await here.read_of(state.pool)
        return [
            (start(entered, state.stage, state.run_id), revision),
            (leave(there, state.stage, state.run_id), revision_there),
        ]

    def lining_up(self, state: StageState) -> StageQueued:
        """The fact that a stage waits in the line of this pool."""
        return StageQueued(
            run_id=state.run_id,
            stage=state.stage,
            pool=state.pool,
            capacity=self._pool.room.cpus,
            room=self._pool.room,
            **state.as_fields(),
        )

    async def line_up_again(self, paused: StageState, revision: int, deadline_unix: float) -> None:
        """Put a paused stage at the end of this pool's line. Raises ConflictError when it has moved on."""
        state = renewed(paused, paused=False, pool=self._pool.name, deadline_unix=deadline_unix)
        while True:
            pool, pool_revision = await self._pool.read()
            try:
                change = (enter(pool, state), pool_revision)
                await self.commit(state, revision, [self.lining_up(state)], [change])
                return
            except ConflictError:
                _, current = await self._bus.read_state(state.subject)
                if current != revision:
                    raise

    async def bring_here(self, subject: str) -> None:
        """Take a stage out of the line of another pool, which may have gone with its machine, into this one's."""
        here = self._pool
        for _ in range(_MOST_RACES):
            state, revision = await self._bus.read_state(subject)
            if state is None or state.status != "queued" or state.paused or state.pool == here.name:
                return
            async with here.lock:
                (pool, pool_revision), (there, revision_there) = await here.read(), await here.read_of(state.pool)
                wanted = renewed(state, pool=here.name)
                left = leave(there, state.stage, state.run_id)
                changes = [(enter(pool, wanted), pool_revision), (left, revision_there)]
                with contextlib.suppress(ConflictError):
                    await self.commit(wanted, revision, (), changes)
                    return

    def _outgoing(self, state: StageState, messages: Sequence[Message]) -> list[Outgoing]:
        return [
            self._bus.prepare(message, cause_id=state.cause_id, key=f"{state.operation_id}/{index}", epoch=state.epoch)
            for index, message in enumerate(messages)
        ]


def renewed(state: StageState, **changes: object) -> StageState:
    """The state with changes, as a commit of its own."""
    return state.model_copy(update={**changes, "operation_id": uuid.uuid4().hex})
