"""Runs a stage under a lease: request -> lease -> running{epoch} -> outcome, and the same again after any crash.

The request is acknowledged as soon as `running` is committed; from then on the state and the lease carry the
stage. A lease that expires or is given back while the state says `running` is the sign to take the stage over.
What decides is in `stage_policy`; this file acts.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.events.registry import message_type
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunFailed,
    StageCompleted,
    StageInterrupted,
    StageStarted,
    StageState,
    stage_state_subject,
)
from ropewalk.recipes.recipe import RecipeError, parse_recipe
from ropewalk.runtime.bus import Bus
from ropewalk.runtime.delivery import outcome_or_error
from ropewalk.runtime.errors import ConflictError
from ropewalk.runtime.leases import Lease, LeaseKeeper
from ropewalk.runtime.outcome import Done, Outcome, Reject, Retry, StageError
from ropewalk.runtime.stage import StageContext, StageSpec, remove_scratch, scratch_folder
from ropewalk.runtime.stage_policy import MAX_ATTEMPTS, Ending, Verdict, judge, may_begin
from ropewalk.runtime.telemetry import record, span
from ropewalk.storage.objects import ObjectStore

logger = logging.getLogger(__name__)

_BUSY_DELAY_S = 1.0
_CANCEL_GRACE_S = {"checkpoint": 60.0, "now": 2.0}


@dataclass(kw_only=True)
class _Holding:
    """A stage this instance works on."""

    state: StageState
    revision: int
    lease: Lease
    context: StageContext
    task: asyncio.Task[None] | None = None
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a runner needs from its service."""

    bus: Bus
    leases: LeaseKeeper
    objects: ObjectStore
    scratch_root: Path


class StageRunner:
    """All runs of one stage on one service instance; one at a time works, the others wait in the stream."""

    def __init__(self, spec: StageSpec, surroundings: Surroundings) -> None:
        self.spec = spec
        self._with = surroundings
        self._holding: dict[str, _Holding] = {}
        self._beginning = asyncio.Lock()
        self._stopping = False

    async def on_trigger(self, message: Message, envelope: Envelope) -> Outcome:
        """A request for this stage arrived."""
        if not self.spec.when(message):
            return Done()
        state, revision = await self._with.bus.read_state(stage_state_subject(self.spec.name, message.run_id))
        if not may_begin(state, envelope.id):
            return Done()
        try:
            began = await self._begin(self._new_state(message, envelope), revision, None)
        except RecipeError as error:
            return Reject(f"the recipe of run {message.run_id} cannot be used: {error}")
        return Done() if began else Retry(_BUSY_DELAY_S, "the stage is busy")

    async def on_lease_gone(self, run_id: str, cause: str) -> Outcome:
        """The lease of a run's stage expired or was given back."""
        if run_id in self._holding:
            if await self._with.leases.is_live(self.spec.name, run_id):
                return Done()  # old news: the lease that ended was an earlier one
            self._lose(run_id)
            return Retry(_BUSY_DELAY_S, "the work that lost its lease is still being stopped")
        state, revision = await self._with.bus.read_state(stage_state_subject(self.spec.name, run_id))
        if state is None or state.status != "running":
            return Done()
        wanted = state.model_copy(update={"attempt": state.attempt + 1, "operation_id": uuid.uuid4().hex})
        began = await self._begin(wanted, revision, cause)
        return Done() if began else Retry(_BUSY_DELAY_S, "the stage is busy")

    async def resume_orphans(self) -> None:
        """Take over what says `running` and has no holder: after a restart of everything, nobody else would."""
        newest: dict[str, StageState] = {}
        async for item in self._with.bus.read(f"state.run.{self.spec.name}.v1.*"):
            assert isinstance(item.message, StageState)
            newest[item.message.run_id] = item.message
        for run_id, state in newest.items():
            while state.status == "running" and not self._stopping:
                if isinstance(await self.on_lease_gone(run_id, "the service was restarted"), Done):
                    break
                await asyncio.sleep(_BUSY_DELAY_S)
                state = (await self._with.bus.read_state(state.subject))[0] or state

    async def cancel(self, event: RunCancelled) -> None:
        """Somebody cancelled a run: let its work finish within the grace of the mode, then end it."""
        holding = self._holding.get(event.run_id)
        if holding is None or holding.task is None or holding.context.cancelled.is_set():
            return
        holding.context.cancel_mode = event.mode
        holding.context.cancelled.set()
        await asyncio.wait([holding.task], timeout=_CANCEL_GRACE_S[event.mode])
        holding.task.cancel()

    async def stop(self) -> None:
        """The service is stopping: end the work and give the leases back; another instance goes on."""
        self._stopping = True
        holdings = list(self._holding.values())
        for holding in holdings:
            if holding.task is not None:
                holding.task.cancel()
        tasks = [holding.task for holding in holdings if holding.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _new_state(self, message: Message, envelope: Envelope) -> StageState:
        return StageState(
            run_id=message.run_id,
            stage=self.spec.name,
            status="running",
            epoch=0,
            attempt=1,
            operation_id=uuid.uuid4().hex,
            cause_id=envelope.id,
            cause_type=envelope.type,
            cause_body=message.model_dump_json(),
            traceparent=envelope.traceparent,
        )

    async def _begin(self, wanted: StageState, revision: int, interrupted_by: str | None) -> bool:
        """Take the lease and commit `running`. False if the stage must wait."""
        async with self._beginning:
            if self._holding or self._stopping:
                return False
            run_id = wanted.run_id
            lease = await self._with.leases.acquire(self.spec.name, run_id, self._lost_callback(run_id))
            if lease is None:
                return interrupted_by is None and await self._is_running(wanted)
            state = wanted.model_copy(update={"epoch": lease.epoch})
            try:
                context = await self._context(state)  # before anything is committed: a broken recipe raises here
                new_revision = await self._commit_running(state, revision, interrupted_by)
                self._start(state, new_revision, lease, context)
            except ConflictError:
                logger.info("%s of %s was begun by another instance", self.spec.name, run_id)
            finally:
                if run_id not in self._holding:
                    await self._with.leases.release(lease)
            return True

    async def _is_running(self, wanted: StageState) -> bool:
        """Whether the holder of the lease has committed this very request (else: wait for it to do so)."""
        state, _ = await self._with.bus.read_state(wanted.subject)
        return state is not None and state.cause_id == wanted.cause_id

    async def _commit_running(self, state: StageState, revision: int, interrupted_by: str | None) -> int:
        about: list[Message] = []
        if interrupted_by is not None:
            about.append(
                StageInterrupted(run_id=state.run_id, stage=state.stage, epoch=state.epoch, cause=interrupted_by)
            )
        about.append(StageStarted(run_id=state.run_id, stage=state.stage, epoch=state.epoch, attempt=state.attempt))
        return await self._commit(state, revision, about)

    async def _commit(self, state: StageState, revision: int, messages: list[Message]) -> int:
        outgoing = [
            self._with.bus.prepare(
                message, cause_id=state.cause_id, key=f"{state.operation_id}/{index}", epoch=state.epoch
            )
            for index, message in enumerate(messages)
        ]
        return await self._with.bus.commit(state, revision, outgoing)

    async def _context(self, state: StageState) -> StageContext:
        accepted = await self._with.bus.last(RunAccepted, state.run_id)
        if accepted is None:
            raise RecipeError(("there is none: the run was never accepted, so submit it",))
        return StageContext(
            stage=state.stage,
            run_id=state.run_id,
            epoch=state.epoch,
            attempt=state.attempt,
            cause_id=state.cause_id,
            recipe=parse_recipe(accepted.recipe),
            bus=self._with.bus,
            objects=self._with.objects,
            scratch=scratch_folder(self._with.scratch_root, state.stage, state.run_id, state.epoch),
        )

    def _start(self, state: StageState, revision: int, lease: Lease, context: StageContext) -> None:
        holding = _Holding(state=state, revision=revision, lease=lease, context=context)
        self._holding[state.run_id] = holding
        holding.task = asyncio.create_task(self._work(holding), name=f"{state.stage}/{state.run_id}")
        holding.task.add_done_callback(_log_failure)

    def _lost_callback(self, run_id: str) -> Callable[[], None]:
        loop = asyncio.get_running_loop()

        def on_lost() -> None:
            loop.call_soon_threadsafe(self._lose, run_id)

        return on_lost

    def _lose(self, run_id: str) -> None:
        holding = self._holding.get(run_id)
        if holding is not None and holding.task is not None:
            holding.lost = True
            holding.task.cancel()

    async def _work(self, holding: _Holding) -> None:
        """Do the work until it has an ending, and commit that ending."""
        state = holding.state
        try:
            with span(f"stage {state.stage}", traceparent=state.traceparent, run_id=state.run_id, epoch=state.epoch):
                await self._until_ended(holding)
        except ConflictError:
            logger.warning("%s of %s was taken over by another instance", state.stage, state.run_id)
        finally:
            del self._holding[state.run_id]
            remove_scratch(holding.context.scratch)
            if not holding.lost:
                await self._with.leases.release(holding.lease)

    async def _until_ended(self, holding: _Holding) -> None:
        while True:
            started = time.monotonic()
            ending = await self._attempt(holding)
            verdict = judge(ending, holding.state.attempt)
            if verdict.again_after_s is None:
                seconds = time.monotonic() - started
                await self._end(holding, verdict, ending, seconds)
                record("ropewalk.stage.duration", seconds, stage=self.spec.name, status=verdict.status)
                return
            logger.warning("%s of %s: %s; trying again", self.spec.name, holding.state.run_id, ending.reason)
            await asyncio.sleep(verdict.again_after_s)
            await self._again(holding, ending.reason)

    async def _attempt(self, holding: _Holding) -> Ending:
        state = holding.state
        kind = message_type(state.cause_type)
        trigger = kind.model_validate_json(state.cause_body)
        if await self._with.bus.last(RunCancelled, state.run_id) is not None:
            return Ending(cancelled=True)
        try:
            result = await outcome_or_error(self.spec.work(holding.context, trigger))
        except asyncio.CancelledError:
            if holding.context.cancelled.is_set() and not holding.lost and not self._stopping:
                return Ending(cancelled=True)
            raise
        if not isinstance(result, Exception):
            return Ending(cancelled=True) if holding.context.cancelled.is_set() else Ending(messages=result)
        if isinstance(result, StageError):
            return Ending(reason=str(result), hopeless=True)
        logger.error("%s of %s failed", state.stage, state.run_id, exc_info=result)
        return Ending(reason=f"{type(result).__name__}: {result}")

    async def _again(self, holding: _Holding, reason: str) -> None:
        state = holding.state.model_copy(
            update={"attempt": holding.state.attempt + 1, "operation_id": uuid.uuid4().hex}
        )
        holding.revision = await self._commit_running(state, holding.revision, reason.splitlines()[0][:500])
        holding.state = state
        holding.context.attempt = state.attempt

    async def _end(self, holding: _Holding, verdict: Verdict, ending: Ending, seconds: float) -> None:
        state = holding.state.model_copy(update={"status": verdict.status, "operation_id": uuid.uuid4().hex})
        last: list[Message] = []
        match verdict.status:
            case "done":
                completed = StageCompleted(
                    run_id=state.run_id,
                    stage=state.stage,
                    epoch=state.epoch,
                    seconds=seconds,
                    cpu_seconds=holding.context.cpu_seconds,
                )
                last = [completed, *ending.messages]
            case "failed":
                message = ending.reason
                if not ending.hopeless:
                    message = f"it failed {MAX_ATTEMPTS} times, last with: {ending.reason[-1500:]}"
                last = [RunFailed(run_id=state.run_id, stage=state.stage, message=message)]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(self._commit(state, holding.revision, last))


def _log_failure(task: asyncio.Task[None]) -> None:
    """A stage whose end could not be committed is still `running`: its released lease makes somebody try again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s could not be ended", task.get_name(), exc_info=error)
