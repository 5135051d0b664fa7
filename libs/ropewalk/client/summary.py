"""The state of runs as a fold over the log. Pure: stored messages in, values out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRejected,
    StageCompleted,
    StageInterrupted,
    StageStarted,
    SubmitRun,
)
from ropewalk.runtime.codec import Stored

RunStatus = Literal["submitted", "running", "promoted", "rejected", "need_more", "refused", "failed", "cancelled"]
LIVE: frozenset[str] = frozenset({"submitted", "running"})


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run. `refused` means the recipe was not accepted, `rejected` that the gate said no."""

    run_id: str
    status: RunStatus
    recipe: str = ""
    stage: str = ""
    started_at: datetime
    ended_at: datetime | None = None
    detail: str = ""
    model: str = ""
    model_version: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status not in LIVE


def summarise(timeline: Iterable[Stored[Message]]) -> list[RunSummary]:
    """All runs, in the order in which they appeared. Messages must come in the order of the log."""
    runs: dict[str, RunSummary] = {}
    for stored in timeline:
        run_id = stored.message.run_id
        known = runs.get(run_id) or RunSummary(run_id=run_id, status="submitted", started_at=stored.time)
        runs[run_id] = _after(known, stored)
    return list(runs.values())


def _after(run: RunSummary, stored: Stored[Message]) -> RunSummary:
    match stored.message:
        case SubmitRun(recipe=recipe):
            return replace(run, recipe=str(recipe.get("name") or recipe.get("base") or "custom"))
        case RunAccepted(recipe=recipe):
            return replace(run, status="running", recipe=str(recipe.get("name", "")))
        case StageStarted(stage=stage) if not run.is_over:
            return replace(run, status="running", stage=stage, detail="")
        case StageInterrupted(stage=stage, cause=cause) if not run.is_over:
            return replace(run, stage=stage, detail=cause)
        case StageCompleted(stage=stage) if not run.is_over:
            return replace(run, stage=stage)
        case CheckpointSaveFailed(step=step, reason=reason) if not run.is_over:
            return replace(run, detail=f"step {step} not saved: {reason}")
        case CheckpointSaved() if not run.is_over:
            return replace(run, detail="")
        case _:
            return _after_end(run, stored)


def _after_end(run: RunSummary, stored: Stored[Message]) -> RunSummary:
    match stored.message:
        case RunRejected(violations=violations):
            return replace(run, status="refused", ended_at=stored.time, detail="; ".join(violations))
        case RunCompleted(outcome=outcome, model=model, model_version=version):
            return replace(run, status=outcome, ended_at=stored.time, model=model, model_version=version)
        case RunFailed(stage=stage, message=message):
            return replace(run, status="failed", stage=stage, ended_at=stored.time, detail=message)
        case RunCancelled(reason=reason):
            return replace(run, status="cancelled", ended_at=stored.time, detail=reason)
        case _:
            return run
