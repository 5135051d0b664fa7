"""The state of runs. `refused` means the recipe was not accepted, `rejected` that the gate said no."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.foreign import cut, one_line, quoted
from ropewalk.events.moments import moment_of
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunRejected,
    RunResumed,
    StageCompleted,
    StageInterrupted,
    StageQueued,
    StageStalled,
    StageStarted,
    SubmitRun,
)
from ropewalk.events.training import StragglerFound, TrainingInterrupted, TrainingResumed, TrainingStarted
from ropewalk.projections.asking import RunStatus
from ropewalk.projections.fold import Fold, Json, Record, held, keep_first, keep_latest, log_time, run_of

_MAX_NAME, _MAX_DETAIL = 100, 2000  # characters of what somebody else wrote
NOT_PROMOTED = frozenset({"rejected", "need_more", "judged"})  # the gate knows why
LIVE: frozenset[str] = frozenset({"submitted", "queued", "running", "paused", "deferred"})


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run. `sequence` says where it appeared in the log."""

    run_id: str
    status: RunStatus
    recipe: str = ""
    stage: str = ""
    attempt: int = 0
    started_at: datetime
    ended_at: datetime | None = None
    detail: str = ""
    model: str = ""
    model_version: int = 0
    priority: int = 0
    owner: str = ""
    deadline_at: datetime | None = None
    sequence: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status not in LIVE


def summary_of(run_id: str, view: Json) -> RunSummary:
    """A run from its place in the projection."""
    fields: dict[str, Any] = {
        name: datetime.fromisoformat(value) if value and name.endswith("_at") else value for name, value in view.items()
    }
    return RunSummary(run_id=run_id, **fields)


def _seen(record: Record, stored: Stored[Any]) -> None:
    if "first" not in record or stored.sequence < record["first"][0]:
        keep_first(record, "first", stored, log_time(stored.time))


def _submitted(record: Record, stored: Stored[SubmitRun]) -> None:
    _seen(record, stored)
    asked = stored.message
    named = asked.recipe.get("name") or asked.recipe.get("base") or "custom"
    name = one_line(named if isinstance(named, str) else quoted(named), _MAX_NAME)
    asked_for = {"recipe": name, "priority": asked.priority, "owner": cut(asked.owner, _MAX_NAME)}
    keep_latest(record, "asked", stored, asked_for)


def _accepted(record: Record, stored: Stored[RunAccepted]) -> None:
    _seen(record, stored)
    run = stored.message
    name, owner = (cut(str(text), _MAX_NAME) for text in (run.recipe.get("name", ""), run.owner))
    accepted = {"recipe": name, "priority": run.priority, "owner": owner}
    if run.deadline_unix:
        accepted["deadline_at"] = log_time(moment_of(run.deadline_unix))
    keep_latest(record, "accepted", stored, accepted)


def _what_it_waits_for(queued: StageQueued) -> str:
    wish = f"{queued.stage} needs {queued.in_words}"
    if not queued.capacity:
        return f"{wish} of pool {queued.pool}"
    room = queued.room.model_copy(update={"cpus": queued.capacity})  # older messages tell the CPUs alone
    if not queued.fits(room):
        return (
            f"{wish} and pool {queued.pool} has {room.in_words}: cancel it and submit it with fewer workers, or "
            "declare a larger pool (ROPEWALK_CAPACITY_CPUS, ROPEWALK_CAPACITY_GPUS)"
        )
    return f"{wish} of the {room.in_words} of pool {queued.pool}, and others are before it"


def _staged(record: Record, stored: Stored[Any]) -> None:
    message = stored.message
    _seen(record, stored)
    status = "queued" if isinstance(message, StageQueued) else "running"
    keep_latest(record, "stage", stored, {"stage": message.stage, "status": status})
    if not isinstance(message, StageCompleted):
        keep_latest(record, "deferral", stored, {})
    if isinstance(message, StageStarted) and message.attempt:
        keep_latest(record, "attempt", stored, message.attempt)
    if not isinstance(message, StageCompleted):  # it tells nothing of what is in the way of the next one
        keep_latest(record, "trouble", stored, _trouble(message))


def _paused(record: Record, stored: Stored[RunPaused]) -> None:
    _seen(record, stored)
    pause = stored.message
    keep_latest(record, "pause", stored, {"stage": pause.stage, "reason": cut(pause.reason, _MAX_DETAIL)})


def _resumed(record: Record, stored: Stored[RunResumed]) -> None:
    _seen(record, stored)
    keep_latest(record, "pause", stored, {})
    if stored.message.deadline_unix:
        keep_latest(record, "moved", stored, {"deadline_at": log_time(moment_of(stored.message.deadline_unix))})


def _trained(record: Record, stored: Stored[Any]) -> None:
    _seen(record, stored)
    if isinstance(stored.message, TrainingStarted | StragglerFound):
        keep_latest(record, "slow", stored, _trouble(stored.message))
    else:
        keep_latest(record, "trouble", stored, _trouble(stored.message))


def _saved(record: Record, stored: Stored[Any]) -> None:
    _seen(record, stored)
    keep_latest(record, "trouble", stored, _trouble(stored.message))


def _trouble(message: Message) -> str:
    """What is in the way of the run by now; empty if nothing is."""
    match message:
        case StageQueued():
            return _what_it_waits_for(message)
        case StageInterrupted(cause=cause):
            return cut(cause, _MAX_DETAIL)
        case StageStalled(silent_s=silent_s):
            return f"no progress for {silent_s:.0f} s"
        case TrainingInterrupted(cause=cause, last_step=step, detail=detail):
            what = f"{one_line(cause.replace('_', ' '))} at about step {step}"
            return f"{what}: {cut(detail, _MAX_DETAIL)}" if detail else what
        case StragglerFound(rank=rank, speed=speed, since_step=step):
            return f"training waits for rank {rank}: {speed:.0%} of the speed of the others since step {step}"
        case CheckpointSaveFailed(step=step, reason=reason):
            return f"step {step} not saved: {cut(reason, _MAX_DETAIL)}"
        case _:
            return ""


def _judged(record: Record, stored: Stored[GateDecided]) -> None:
    _seen(record, stored)
    gate = stored.message
    keep_latest(record, "gate", stored, cut("; ".join(gate.reasons), _MAX_DETAIL))
    waits = {"status": "deferred", "detail": cut("; ".join((gate.waits_for, *gate.reasons)), _MAX_DETAIL)}
    keep_latest(record, "deferral", stored, waits if gate.is_deferred else {})


def _ended(record: Record, stored: Stored[Any]) -> None:
    """A run ends once; were there two endings, the later one counts."""
    _seen(record, stored)
    keep_latest(record, "ending", stored, {"ended_at": log_time(stored.time), **_ending(stored.message)})


def _ending(message: Message) -> Json:
    match message:
        case RunRejected(violations=violations):
            return {"status": "refused", "detail": cut("; ".join(violations), _MAX_DETAIL)}
        case RunCompleted(outcome=outcome, model=model, model_version=version):
            return {"status": outcome, "detail": "", "model": model, "model_version": version}
        case RunFailed(stage=stage, message=sentence):
            return {"status": "failed", "stage": stage, "detail": cut(sentence, _MAX_DETAIL)}
        case RunCancelled(reason=reason):
            return {"status": "cancelled", "detail": cut(reason, _MAX_DETAIL)}
        case _:
            raise AssertionError(f"{type(message).__name__} ends no run")


def _pause(run_id: str, record: Record, stage: str) -> Json:
    """What to show instead while the stage is paused that the run is in."""
    pause = held(record, "pause", {})
    if not pause or pause["stage"] != stage:
        return {}
    how = f"`ropewalk resume {run_id}` lets it go on"
    return {"status": "paused", "detail": f"{pause['reason']}; {how}" if pause["reason"] else how}


def _view(run_id: str, record: Record) -> Json:
    accepted = held(record, "accepted")
    stage = held(record, "stage", {"stage": "", "status": "running" if accepted else "submitted"})
    ending = held(record, "ending", {})
    if ending.get("status") in NOT_PROMOTED:
        ending = {**ending, "detail": held(record, "gate", "")}
    return {
        "status": stage["status"],
        "stage": stage["stage"],
        "attempt": held(record, "attempt", 0),
        "started_at": held(record, "first"),
        "sequence": record["first"][0],
        "ended_at": None,
        "detail": held(record, "trouble", "") or held(record, "slow", ""),
        "model": "",
        "model_version": 0,
        "recipe": "",
        "priority": 0,
        "owner": "",
        "deadline_at": None,
        **held(record, "asked", {}),
        **(accepted or {}),
        **held(record, "moved", {}),
        **_pause(run_id, record, stage["stage"]),
        **held(record, "deferral", {}),
        **ending,
    }


RUNS = Fold(
    name="runs",
    version=7,
    key_of=run_of,
    view=_view,
    steps={
        SubmitRun: _submitted,
        RunAccepted: _accepted,
        StageQueued: _staged,
        StageStarted: _staged,
        StageCompleted: _staged,
        StageInterrupted: _staged,
        StageStalled: _staged,
        TrainingStarted: _trained,
        TrainingInterrupted: _trained,
        TrainingResumed: _trained,
        StragglerFound: _trained,
        CheckpointSaved: _saved,
        CheckpointSaveFailed: _saved,
        GateDecided: _judged,
        RunPaused: _paused,
        RunResumed: _resumed,
        RunRejected: _ended,
        RunCompleted: _ended,
        RunFailed: _ended,
        RunCancelled: _ended,
    },
)
