"""How a stage's state, its place in the pool and what follows are written: one batch, decided on what was read.

The state says whether a change is still allowed; the pool only says whether there is room. So a commit that lost
the race for the pool reads the pool again, and one that lost the race for its state is over.
"""

from collections.abc import Callable, Sequence

from ropewalk.events.base import Message
from ropewalk.events.run import PoolState, StageState
from ropewalk.runtime.bus import Bus
from ropewalk.runtime.errors import ConflictError
from ropewalk.runtime.pool import Pool
from ropewalk.runtime.sending import Outgoing

PoolChange = Callable[[PoolState], PoolState]
PoolChanges = Sequence[tuple[PoolState, int]]


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

    async def commit_patiently(
        self, state: StageState, revision: int, messages: Sequence[Message], change: PoolChange
    ) -> int:
        """As `commit`, with `change` made anew on whatever the pool is, until the state itself has moved on."""
        if not state.pool:
            return await self.commit(state, revision, messages, ())
        while True:
            pool, pool_revision = await self._pool.read_of(state.pool)
            changed = change(pool)
            try:
                changes = () if changed == pool else ((changed, pool_revision),)
                return await self.commit(state, revision, messages, changes)
            except ConflictError:
                _, current = await self._bus.read_state(state.subject)
                if current != revision:
                    raise

    def _outgoing(self, state: StageState, messages: Sequence[Message]) -> list[Outgoing]:
        return [
            self._bus.prepare(message, cause_id=state.cause_id, key=f"{state.operation_id}/{index}", epoch=state.epoch)
            for index, message in enumerate(messages)
        ]
