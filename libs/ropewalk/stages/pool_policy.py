"""Whose turn it is in a pool. Plain values in, plain values out.

A pool is what several stages share: the CPUs, GPUs and memory of one machine, or of one cluster. The order is by
priority, then stages near the end of their run before beginnings, then by how much the owner already uses (fair
share), then by age. Nobody is overtaken for being large: what the first needs that waits for a resource is kept for it,
and those behind it get only what that leaves over. So a large stage cannot starve, and a line of stages that wait for
GPUs does not keep the CPUs idle. Only a stage that is larger than the whole pool stops nobody: it waits for a larger
pool.
"""

from ropewalk.events.resources import Resources
from ropewalk.events.run import PoolEntry, PoolState, StageState

MAX_WAITING = 500  # beyond this, requests wait in the stream: a snapshot of the pool stays below 100 kB

# Short stages that follow the training: a model that is nearly there must not wait behind the beginnings of other
# runs. Fair share decides among beginnings, so nobody gets ahead by having many runs.
_NEAR_THE_END = frozenset({"export", "evaluate", "promote"})


def enter(pool: PoolState, stage: StageState) -> PoolState:
    """The pool with a stage at the end of its line; unchanged if it is there already."""
    if find(pool, stage.stage, stage.run_id) is not None:
        return pool
    entry = PoolEntry(
        stage=stage.stage,
        run_id=stage.run_id,
        owner=stage.owner,
        priority=stage.priority,
        ticket=pool.next_ticket,
        **stage.as_fields(),
    )
    return pool.model_copy(update={"entries": (*pool.entries, entry), "next_ticket": pool.next_ticket + 1})


def start(pool: PoolState, stage: str, run_id: str) -> PoolState:
    """The pool with an entry running."""
    entries = tuple(
        entry.model_copy(update={"running": True}) if _is(entry, stage, run_id) else entry for entry in pool.entries
    )
    return pool.model_copy(update={"entries": entries})


def leave(pool: PoolState, stage: str, run_id: str) -> PoolState:
    """The pool without an entry."""
    return pool.model_copy(update={"entries": tuple(e for e in pool.entries if not _is(e, stage, run_id))})


def find(pool: PoolState, stage: str, run_id: str) -> PoolEntry | None:
    """The entry of a stage, if it is in the pool."""
    return next((entry for entry in pool.entries if _is(entry, stage, run_id)), None)


def num_waiting(pool: PoolState) -> int:
    """How many stand in line."""
    return sum(not entry.running for entry in pool.entries)


def next_in_line(pool: PoolState, room: Resources, absent: frozenset[str] = frozenset()) -> tuple[PoolEntry, ...]:
    """Those whose turn it is now, in order. Stages in `absent` are passed over: nobody came to start them."""
    waiting = [entry for entry in pool.entries if not entry.running and entry.stage not in absent and entry.fits(room)]
    used = {entry.owner: Resources() for entry in pool.entries}
    taken = Resources()
    for entry in pool.entries:
        if entry.running:
            used[entry.owner], taken = used[entry.owner].plus(entry), taken.plus(entry)
    chosen: list[PoolEntry] = []
    waited_for: frozenset[str] = frozenset()
    while waiting and not _is_full(taken, room):
        first = min(waiting, key=lambda entry: (*_rank(entry), used[entry.owner].share_of(room), entry.ticket))
        waiting.remove(first)
        short_of = first.short_of(room, taken)
        if short_of & waited_for:
            continue  # somebody before it waits for the same: its own turn comes after that, so nothing is kept for it
        if not short_of:
            used[first.owner] = used[first.owner].plus(first)
            chosen.append(first)
        waited_for |= short_of
        taken = taken.plus(first)  # also if it has to wait: what it will need is not given to those behind it
    return tuple(chosen)


def _is_full(taken: Resources, room: Resources) -> bool:
    """Whether nothing at all is left, so that nobody further back needs to be looked at."""
    return taken.cpus >= room.cpus and taken.gpus >= room.gpus


def _rank(entry: PoolEntry) -> tuple[int, bool]:
    return -entry.priority, entry.stage not in _NEAR_THE_END


def _is(entry: PoolEntry, stage: str, run_id: str) -> bool:
    return entry.stage == stage and entry.run_id == run_id
