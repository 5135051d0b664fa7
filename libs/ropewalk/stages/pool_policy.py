"""Whose turn it is in a pool. Plain values in, plain values out.

A pool is what several stages share: the CPUs of one machine, or of one cluster. The order is by priority, then
stages near the end of their run before beginnings, then by how much the owner already uses (fair share), then by age.
Nobody is overtaken for being large: while the first in line does not fit, those behind it wait, so a large stage
cannot starve. Only a stage that is larger than the whole pool stops nobody: it waits for a larger pool.
"""

from ropewalk.events.run import PoolEntry, PoolState, StageState

MAX_WAITING = 500  # beyond this, requests wait in the stream: a snapshot of the pool stays below 64 kB
_ROUNDING = 1e-9

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
        cpus=stage.cpus,
        ticket=pool.next_ticket,
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


def next_in_line(pool: PoolState, capacity: float, absent: frozenset[str] = frozenset()) -> tuple[PoolEntry, ...]:
    """Those whose turn it is now, in order. Stages in `absent` are passed over: nobody came to start them."""
    waiting = [
        entry
        for entry in pool.entries
        if not entry.running and entry.stage not in absent and fits(entry.cpus, capacity)
    ]
    used = {entry.owner: 0.0 for entry in pool.entries}
    for entry in pool.entries:
        if entry.running:
            used[entry.owner] += entry.cpus
    chosen: list[PoolEntry] = []
    while waiting:
        first = min(waiting, key=lambda entry: (*_rank(entry), used[entry.owner], entry.ticket))
        if sum(used.values()) + first.cpus > capacity + _ROUNDING:
            break
        used[first.owner] += first.cpus
        waiting.remove(first)
        chosen.append(first)
    return tuple(chosen)


def fits(cpus: float, capacity: float) -> bool:
    """Whether a pool of that capacity can ever hold a stage."""
    return cpus <= capacity + _ROUNDING


def _rank(entry: PoolEntry) -> tuple[int, bool]:
    return -entry.priority, entry.stage not in _NEAR_THE_END


def _is(entry: PoolEntry, stage: str, run_id: str) -> bool:
    return entry.stage == stage and entry.run_id == run_id
