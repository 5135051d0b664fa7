"""Runs a stage under a lease: request -> queue -> lease -> running{epoch} -> outcome, and on again after any crash.

The request is acknowledged as soon as `queued` or `running` is committed; from then on the state carries the stage,
and the lease once it runs. A lease that expires or is given back while the state says `running` is the sign to take
the stage over. Whose turn it is decides `pool_policy`, what follows from an ending `stage_policy`; this file acts.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ropewalk.bus.bus import Bus
from ropewalk.bus.errors import ConflictError
from ropewalk.bus.schedules import DueTimer
from ropewalk.delivery.outcome import Done, Outcome, Reject, Retry
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import (
    PoolEntry,
    RunAccepted,
    RunCancelled,
    RunFailed,
    StageState,
    stage_state_subject,
)
from ropewalk.recipes.recipe import Recipe, RecipeError, parse_recipe
from ropewalk.stages.commit import PoolChanges, StageCommitter, renewed
from ropewalk.stages.context import StageContext, StageSpec, remove_scratch, scratch_folder
from ropewalk.stages.leases import Lease, LeaseKeeper
from ropewalk.stages.pausing import is_paused, moved_deadline
from ropewalk.stages.policy import RETRIES, Cause, is_exhausted, may_begin, tried_again
from ropewalk.stages.pool import Pool
from ropewalk.stages.pool_policy import MAX_WAITING, enter, find, num_waiting, start
from ropewalk.stages.timers import StageTimers
from ropewalk.stages.work import StageWork, Stop, beginning, interruption, stalled
from ropewalk.storage.objects import ObjectStore

logger = logging.getLogger(__name__)

_BUSY_DELAY_S = 1.0  # until a request is delivered again that has to wait for somebody
_RACE_DELAY_S = 0.1  # and one that lost a race, which is over by then
_MOST_RACES = 5
_HAND_OVER_S = 0.005  # times the stages in hand: an instance with less to do is faster to begin


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a runner needs from its service."""

    bus: Bus
    leases: LeaseKeeper
    objects: ObjectStore
    scratch_root: Path
    pool: Pool
    stop_grace_s: float


class StageRunner:
    """All runs of one stage on one service instance: as many at a time as the pool has room for."""

    def __init__(self, spec: StageSpec, surroundings: Surroundings) -> None:
        self.spec = spec
        self._with = surroundings
        self._committer = StageCommitter(surroundings.bus, surroundings.pool)
        self._works: dict[str, StageWork] = {}  # by run id: what this instance holds the lease of
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by run id, of the same stages
        self._timers = StageTimers(surroundings.bus, spec)
        self._stopping = False

    async def on_trigger(self, message: Message, envelope: Envelope) -> Outcome:
        """A request for this stage arrived."""
        if not self.spec.when(message):
            return Done()
        for _ in range(_MOST_RACES):
            state, revision = await self._state(message.run_id)
            if not may_begin(state, envelope.id):
                return Done()
            try:
                wanted, recipe = await self._wanted(message, envelope)
            except RecipeError as error:
                return Reject(f"the recipe of run {message.run_id} cannot be used: {error}")
            try:
                return await self._admit(wanted, revision, recipe)
            except ConflictError:
                logger.debug("%s of %s: another instance was faster", self.spec.name, message.run_id)
        return Retry(_RACE_DELAY_S, "others were faster five times")

    async def on_turn(self, entry: PoolEntry) -> None:
        """The pool has room for a queued stage."""
        if entry.stage != self.spec.name or self._stopping or entry.run_id in self._works:
            return
        await asyncio.sleep(_HAND_OVER_S * len(self._works))
        async with self._with.pool.lock:
            state, revision = await self._state(entry.run_id)
            pool, pool_revision = await self._with.pool.read()
            if find(pool, entry.stage, entry.run_id) not in self._with.pool.turns(pool):
                return
            if state is None or state.status != "queued":
                return
            recipe = (await self._accepted(entry.run_id))[1]
            change = (start(pool, entry.stage, entry.run_id), pool_revision)
            try:
                await self._begin(state, revision, recipe, [change])
            except ConflictError:
                logger.debug("%s of %s: the pool or the state moved on", entry.stage, entry.run_id)

    async def on_lease_gone(self, run_id: str, cause: str, kind: Cause) -> Outcome:
        """The lease of a run's stage expired or was given back."""
        if await self._with.leases.is_live(self.spec.name, run_id):
            return Done()  # old news: somebody holds it, or its holder took it back after an outage
        if (work := self._works.get(run_id)) is not None:
            if await self._with.leases.renew(work.lease):
                return Done()
            return Retry(_BUSY_DELAY_S, "the work that lost its lease is still being stopped")
        if kind == "lost" and self._with.leases.is_settling:
            return Retry(_BUSY_DELAY_S, "the broker just came back: the holder may take its lease back")
        state, revision = await self._state(run_id)
        if state is not None and state.paused:
            await self.heed_pause(run_id)  # it may have been resumed while it still left
        if state is None or state.status != "running":
            return Done()
        return await self._take_over(state, revision, cause, kind)

    async def on_deadline(self, timer: DueTimer) -> Outcome:
        """The time of a run is over: what waits or works for it here fails, whoever holds it."""
        run_id = timer.entity
        state, revision = await self._state(run_id)
        if state is None or state.status not in ("queued", "running") or state.paused:
            return Done()
        reason = f"the run did not end before its deadline; {self.spec.name} was {state.status}"
        if (work := self._works.get(run_id)) is not None:
            work.end_attempt(Stop(reason=reason, hopeless=True))
            return Done()
        return await self._fail(state, revision, reason)

    async def on_silence(self, timer: DueTimer) -> Outcome:
        """A running stage showed no progress for `stall_s`; the timer carries its epoch."""
        run_id = timer.entity
        state, revision = await self._state(run_id)
        if state is None or state.status != "running" or str(state.epoch).encode() != timer.body:
            return Done()
        reason = f"no progress for {self.spec.stall_s:.0f} s"
        if (work := self._works.get(run_id)) is not None:
            if self._timers.is_silent(work):
                work.end_attempt(Stop(reason=reason, cause="stalled", silent_s=self.spec.stall_s))
            return Done()
        return await self._take_over(state, revision, reason, "stalled")

    async def resume_orphans(self) -> None:
        """Take over what says `running` and has no holder: after a restart of everything, nobody else would."""
        newest: dict[str, StageState] = {}
        async for item in self._with.bus.read(f"state.run.{self.spec.name}.v1.*"):
            assert isinstance(item.message, StageState)
            newest[item.message.run_id] = item.message
        for run_id, state in newest.items():
            while state.status == "running" and not self._stopping:
                if isinstance(await self.on_lease_gone(run_id, "the service was restarted", "lost"), Done):
                    break
                await asyncio.sleep(_BUSY_DELAY_S)
                state = (await self._state(run_id))[0] or state
            if state.status == "queued":
                await self.heed_pause(run_id)
            if state.status == "queued" and state.pool != self._with.pool.name:
                await self._committer.bring_here(state.subject)

    async def cancel(self, event: RunCancelled) -> None:
        """Somebody cancelled a run: end its work within the grace of the mode, or take it out of the line."""
        if (work := self._works.get(event.run_id)) is not None:
            await work.cancel(event.mode)
            return
        state, revision = await self._state(event.run_id)
        if state is not None and state.status == "queued":
            try:
                await self._committer.end(renewed(state, status="cancelled"), revision, ())
            except ConflictError:
                logger.debug("%s of %s left the line already", self.spec.name, event.run_id)

    async def heed_pause(self, run_id: str) -> None:
        """Let a stage leave its work or the line, or stand in line again, as the log says by now."""
        paused = await is_paused(self._with.bus, self.spec.name, run_id)
        if (work := self._works.get(run_id)) is not None:
            if paused:
                await work.pause()
            return None
        state, revision = await self._state(run_id)
        if state is None or state.status != "queued":
            return None
        if state.paused and (cancelled := await self._with.bus.last(RunCancelled, run_id)) is not None:
            return await self.cancel(cancelled)  # it came just when the stage had left
        try:
            if paused and not state.paused:
                await self._committer.end(renewed(state, paused=True), revision, ())
                self._timers.disarm(state)
            elif state.paused and not paused:
                deadline = await moved_deadline(self._with.bus, run_id, state.deadline_unix)
                await self._committer.line_up_again(state, revision, deadline)
                self._timers.arm_deadline(run_id, deadline)
        except ConflictError:
            logger.debug("%s of %s: another instance was faster", self.spec.name, run_id)

    async def stop(self) -> None:
        """The service is stopping: end the work and give the leases back; another instance goes on."""
        self._stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _state(self, run_id: str) -> tuple[StageState | None, int]:
        return await self._with.bus.read_state(stage_state_subject(self.spec.name, run_id))

    async def _accepted(self, run_id: str) -> tuple[RunAccepted, Recipe]:
        accepted = await self._with.bus.last(RunAccepted, run_id)
        if accepted is None:
            raise RecipeError(("there is none: the run was never accepted, so submit it",))
        return accepted, parse_recipe(accepted.recipe)

    async def _wanted(self, message: Message, envelope: Envelope) -> tuple[StageState, Recipe]:
        accepted, recipe = await self._accepted(message.run_id)
        needs = self.spec.needs(recipe)
        state = StageState(
            run_id=message.run_id,
            stage=self.spec.name,
            status="queued",
            epoch=0,
            attempt=1,
            operation_id=uuid.uuid4().hex,
            cause_id=envelope.id,
            cause_type=envelope.type,
            cause_body=message.model_dump_json(),
            traceparent=envelope.traceparent,
            priority=accepted.priority,
            owner=accepted.owner,
            pool="" if needs.is_nothing else self._with.pool.name,
            deadline_unix=await moved_deadline(self._with.bus, message.run_id, accepted.deadline_unix),
            **needs.as_fields(),
        )
        return state, recipe

    async def _admit(self, wanted: StageState, revision: int, recipe: Recipe) -> Outcome:
        """Begin at once if it fits and nobody is before it; else stand in line. Raises ConflictError."""
        async with self._with.pool.lock:
            if self._stopping or wanted.run_id in self._works:
                return Retry(_BUSY_DELAY_S, "the instance stops, or the stage still ends an earlier attempt")
            if not wanted.pool:
                return await self._begin(wanted, revision, recipe, ())
            pool, pool_revision = await self._with.pool.read()
            entered = enter(pool, wanted)
            if find(entered, wanted.stage, wanted.run_id) in self._with.pool.turns(entered):
                change = (start(entered, wanted.stage, wanted.run_id), pool_revision)
                return await self._begin(wanted, revision, recipe, [change])
            if num_waiting(pool) >= MAX_WAITING:
                return Retry(_BUSY_DELAY_S, "the line of the pool is full")
            fact = self._committer.lining_up(wanted)
            await self._committer.commit(wanted, revision, [fact], [(entered, pool_revision)])
            self._timers.arm_deadline(wanted.run_id, wanted.deadline_unix)
            return Done()

    async def _begin(self, wanted: StageState, revision: int, recipe: Recipe, changes: PoolChanges) -> Outcome:
        async with self._holding(wanted.run_id) as lease:
            if lease is None:
                return Retry(_BUSY_DELAY_S, "another instance holds the lease")
            state = renewed(wanted, status="running", epoch=lease.epoch)
            new_revision = await self._committer.commit(state, revision, [beginning(state)], changes)
            self._start(state, new_revision, lease, recipe)
        return Done()

    async def _take_over(self, state: StageState, revision: int, reason: str, cause: Cause) -> Outcome:
        """Go on with a stage that has no holder or one that hangs, unless its budget for that is used up."""
        if is_exhausted(cause, state.retries):
            words = f"{reason}; that happened {RETRIES[cause] + 1} times, which is too often"
            return await self._fail(state, revision, words)
        async with self._with.pool.lock:
            try:
                if (
                    self._stopping
                    or state.run_id in self._works
                    or not await self._go_on(state, revision, reason, cause)
                ):
                    return Retry(_BUSY_DELAY_S, "the stage cannot be taken over yet")
            except ConflictError:
                logger.debug("%s of %s was taken over by another instance", state.stage, state.run_id)
        return Done()

    async def _go_on(self, state: StageState, revision: int, reason: str, cause: Cause) -> bool:
        """Begin the next attempt here. False if there is no room or somebody holds the lease. Raises ConflictError."""
        recipe = (await self._accepted(state.run_id))[1]
        async with self._holding(state.run_id, by_force=cause == "stalled") as lease:
            changes = None if lease is None else await self._committer.moved_here(state)
            if lease is None or changes is None:
                return False
            pool = self._with.pool.name if state.pool else ""
            wanted = tried_again(state, cause).model_copy(update={"epoch": lease.epoch, "pool": pool})
            facts: list[Message] = [interruption(wanted, reason), beginning(wanted)]
            if cause == "stalled":
                facts.insert(0, stalled(wanted, self.spec.stall_s))
            new_revision = await self._committer.commit(wanted, revision, facts, changes)
            self._start(wanted, new_revision, lease, recipe)
        return True

    async def _fail(self, state: StageState, revision: int, reason: str) -> Outcome:
        """Fail a stage that this instance does not hold; a holder that hangs is fenced off by the new state."""
        failed = RunFailed(run_id=state.run_id, stage=state.stage, message=reason)
        try:
            await self._committer.end(renewed(state, status="failed"), revision, (failed,))
        except ConflictError:
            return Retry(_RACE_DELAY_S, "the stage moved on meanwhile")
        return Done()

    @contextlib.asynccontextmanager
    async def _holding(self, run_id: str, *, by_force: bool = False) -> AsyncIterator[Lease | None]:
        """The lease of a run while a commit under it is tried; None if somebody holds it.

        Whatever comes of the commit, the lease is given back at the end unless the work was started under it.
        """
        loop = asyncio.get_running_loop()

        def on_lost() -> None:  # the lease thread says so, and only the loop may touch the work
            loop.call_soon_threadsafe(self._lose, run_id)

        lease = await self._with.leases.acquire(self.spec.name, run_id, on_lost, by_force=by_force)
        try:
            yield lease
        finally:
            work = self._works.get(run_id)
            if lease is not None and (work is None or work.lease is not lease):
                await self._with.leases.release(lease)

    def _start(self, state: StageState, revision: int, lease: Lease, recipe: Recipe) -> None:
        context = StageContext(
            stage=state.stage,
            run_id=state.run_id,
            epoch=state.epoch,
            attempt=state.attempt,
            cause_id=state.cause_id,
            recipe=recipe,
            bus=self._with.bus,
            objects=self._with.objects,
            scratch=scratch_folder(self._with.scratch_root, state.stage, state.run_id, state.epoch),
            lease=lease,
            stop_grace_s=self._with.stop_grace_s,
        )
        work = StageWork(
            spec=self.spec, committer=self._committer, state=state, revision=revision, lease=lease, context=context
        )
        self._works[state.run_id] = work
        self._timers.arm_deadline(state.run_id, state.deadline_unix)
        task = asyncio.create_task(self._carry(work), name=f"{state.stage}/{state.run_id}")
        self._tasks[state.run_id] = task
        task.add_done_callback(_log_failure)

    async def _carry(self, work: StageWork) -> None:
        run_id = work.state.run_id
        watching = asyncio.create_task(self._timers.watch(work))
        try:
            await work.run()
        finally:
            watching.cancel()
            if not work.lost and not self._stopping:
                self._timers.disarm(work.state)
            del self._works[run_id], self._tasks[run_id]
            remove_scratch(work.context.scratch)
            await self._with.leases.release(work.lease)  # also when lost: else a key that is still ours lives for ever

    def _lose(self, run_id: str) -> None:
        work, task = self._works.get(run_id), self._tasks.get(run_id)
        if work is not None and task is not None:
            work.lost = True
            task.cancel()


def _log_failure(task: asyncio.Task[None]) -> None:
    """A stage whose end could not be committed is still `running`: its released lease makes somebody try again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s could not be ended", task.get_name(), exc_info=error)
