"""The work of one stage under its lease: attempts until there is an ending, and the commit of that ending.

What decides is in `stage_policy`; this file acts.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ropewalk.bus.errors import ConflictError, TooLargeError
from ropewalk.delivery.outcome import outcome_or_error
from ropewalk.events.base import Message
from ropewalk.events.pauses import PAUSED
from ropewalk.events.registry import message_type
from ropewalk.events.run import (
    RunCancelled,
    RunFailed,
    StageCompleted,
    StageInterrupted,
    StageStalled,
    StageStarted,
    StageState,
)
from ropewalk.stages.commit import StageCommitter, renewed
from ropewalk.stages.context import StageContext, StageSpec
from ropewalk.stages.errors import ChildDiedError, LeaseLostError, StageError, WorkRaisedError
from ropewalk.stages.faults import in_one_line
from ropewalk.stages.leases import Lease
from ropewalk.stages.pausing import is_paused
from ropewalk.stages.policy import Cause, Ending, Verdict, judge, tried_again
from ropewalk.telemetry.metrics import record
from ropewalk.telemetry.spans import span

logger = logging.getLogger(__name__)

_CANCEL_GRACE_S = {"checkpoint": 60.0, "now": 2.0}  # by mode: until the attempt is ended for it
_COMMIT_GRACE_S = 5.0  # for a commit on its way when the service stops


def interruption(state: StageState, reason: str) -> StageInterrupted:
    """The fact that an attempt ended and another follows, in its first line."""
    first_line = reason.splitlines()[0][:500] if reason else ""
    return StageInterrupted(run_id=state.run_id, stage=state.stage, epoch=state.epoch, cause=first_line)


def beginning(state: StageState) -> StageStarted:
    """The fact that an attempt begins."""
    return StageStarted(run_id=state.run_id, stage=state.stage, epoch=state.epoch, attempt=state.attempt)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why somebody ends an attempt from outside: `stalled`, or hopeless with a sentence."""

    reason: str
    cause: Cause = "error"
    hopeless: bool = False
    silent_s: float = 0.0


@dataclass(kw_only=True)
class StageWork:
    """A stage that this instance holds."""

    spec: StageSpec
    committer: StageCommitter
    state: StageState
    revision: int
    lease: Lease
    context: StageContext
    lost: bool = False
    _is_cancelled: bool = False
    _stop: Stop | None = None
    _attempt_task: asyncio.Task[tuple[Message, ...]] | None = None

    async def run(self) -> None:
        """Work until there is an ending, and commit it."""
        state = self.state
        try:
            with span(f"stage {state.stage}", cause=state.traceparent, run_id=state.run_id, epoch=state.epoch):
                await self._until_ended()
        except (ConflictError, LeaseLostError):
            self.lost = True
            logger.warning("%s of %s was taken over by another instance", state.stage, state.run_id)

    async def cancel(self, mode: str) -> None:
        """The run was cancelled: let the attempt finish within the grace of the mode, then end it."""
        if not self._is_cancelled:
            self._is_cancelled = True
            await self._leave(mode)

    async def pause(self) -> None:
        """The run was paused: the same, and the stage waits to be resumed."""
        if not self.context.cancelled.is_set():
            await self._leave("checkpoint")

    async def _leave(self, mode: str) -> None:
        self.context.cancelled.set()
        if self._attempt_task is not None:
            await asyncio.wait([self._attempt_task], timeout=_CANCEL_GRACE_S[mode])
            self._attempt_task.cancel()

    def end_attempt(self, stop: Stop) -> None:
        """End the present attempt; what follows is decided as for any other ending."""
        self._stop = stop
        if self._attempt_task is not None:
            self._attempt_task.cancel()

    async def _until_ended(self) -> None:
        while True:
            started = time.monotonic()
            ending = await self._attempt()
            verdict = judge(ending, self.state.retries)
            if verdict.again_after_s is None:
                seconds = time.monotonic() - started
                await _to_its_end(self._end(verdict, ending, seconds))
                record("ropewalk.stage.duration", seconds, stage=self.spec.name, status=verdict.status)
                return
            logger.warning("%s of %s: %s; trying again", self.spec.name, self.state.run_id, ending.reason)
            await asyncio.sleep(verdict.again_after_s)
            await self._again(ending)

    async def _attempt(self) -> Ending:
        cancelled = await self.context.bus.last(RunCancelled, self.state.run_id)
        if cancelled is not None or self._is_cancelled:
            return Ending(cancelled=True)
        if self.context.cancelled.is_set() or await is_paused(self.context.bus, self.spec.name, self.state.run_id):
            return Ending(paused=True)
        trigger = message_type(self.state.cause_type).model_validate_json(self.state.cause_body)
        self._stop = None
        self._attempt_task = asyncio.ensure_future(self.spec.work(self.context, trigger))
        try:
            await asyncio.wait([self._attempt_task])
        finally:
            if not self._attempt_task.done():
                self._attempt_task.cancel()
                await asyncio.wait([self._attempt_task])
        if self._attempt_task.cancelled():
            return self._after_cancellation()
        return await self._after(self._attempt_task)

    def _after_cancellation(self) -> Ending:
        if self._stop is not None:
            return Ending(reason=self._stop.reason, cause=self._stop.cause, hopeless=self._stop.hopeless)
        if self.context.cancelled.is_set():
            return self._left()
        raise asyncio.CancelledError

    def _left(self) -> Ending:
        return Ending(cancelled=self._is_cancelled, paused=not self._is_cancelled)

    async def _after(self, task: asyncio.Task[tuple[Message, ...]]) -> Ending:
        result = await outcome_or_error(task)
        if not isinstance(result, Exception):
            return self._left() if self.context.cancelled.is_set() else Ending(messages=result)
        if isinstance(result, LeaseLostError | ConflictError):
            raise result
        if isinstance(result, StageError | TooLargeError):
            return Ending(reason=str(result), hopeless=True)
        logger.error("%s of %s failed", self.state.stage, self.state.run_id, exc_info=result)
        return _ending_of(result)

    async def _again(self, ending: Ending) -> None:
        state = tried_again(self.state, ending.cause)
        facts: list[Message] = [interruption(state, ending.reason), beginning(state)]
        if ending.cause == "stalled" and self._stop is not None:
            facts.insert(0, stalled(state, self._stop.silent_s))
        self.revision = await self.committer.commit(state, self.revision, facts, ())
        self.state = state
        self.context.attempt = state.attempt
        self.context.progressed()

    async def _end(self, verdict: Verdict, ending: Ending, seconds: float) -> None:
        state = renewed(self.state, status=verdict.status)
        last: Sequence[Message] = ()
        match verdict.status:
            case "done":
                completed = StageCompleted(
                    run_id=state.run_id,
                    stage=state.stage,
                    epoch=state.epoch,
                    seconds=seconds,
                    cpu_seconds=self.context.cpu_seconds,
                    gpu_seconds=state.gpus * seconds,
                    gpu_kind=state.gpu_kind,
                )
                last = (completed, *ending.messages)
            case "queued":
                state = renewed(tried_again(state, "handed over"), paused=True)
                last = (interruption(state, PAUSED),)
            case "failed":
                last = (RunFailed(run_id=state.run_id, stage=state.stage, message=verdict.message),)
        try:
            await self.committer.end(state, self.revision, last)
        except TooLargeError as error:  # the same follows from every attempt
            if verdict.status != "done":
                raise
            failed = Ending(reason=f"its result cannot be said: {error}", hopeless=True)
            await self._end(judge(failed, self.state.retries), failed, seconds)


def stalled(state: StageState, silent_s: float) -> StageStalled:
    """The fact that a stage was silent for too long."""
    return StageStalled(run_id=state.run_id, stage=state.stage, epoch=state.epoch, silent_s=silent_s)


def _ending_of(error: Exception) -> Ending:
    """What ended an attempt: a process that died, work that raised an error, or something around them."""
    match error:
        case ChildDiedError():
            return Ending(reason=str(error), cause="child")
        case WorkRaisedError():
            return Ending(reason=str(error), cause="raised")
        case _:
            return Ending(reason=in_one_line(error), cause="error")


async def _to_its_end(commit: Coroutine[Any, Any, None]) -> None:
    """A commit that was begun is finished even when the service stops: half of the time it is on its way already."""
    task = asyncio.ensure_future(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_COMMIT_GRACE_S)
        raise
