"""What the demo shows: one row per stage, a fold over the run's events. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ropewalk.client.describe import describe
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointExported, ModelPromoted, ParityCertified
from ropewalk.events.data import CorpusIngested, DatasetPublished, SegmentCleaned, SegmentIngested, TokenizerTrained
from ropewalk.events.evaluation import EvaluationCompleted, EvaluationStarted, GateDecided
from ropewalk.events.monitoring import AlarmRaised, BaselineSealed
from ropewalk.events.run import RunAccepted, RunFailed, StageCompleted, StageInterrupted, StageStarted
from ropewalk.events.serving import ModelDeployed, ModelDeploying
from ropewalk.events.training import (
    SearchCompleted,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingStarted,
    TrialCompleted,
)
from ropewalk.report.card import STAGES

RowStatus = Literal["waiting", "running", "done", "failed"]
_STAGE_OF: Mapping[type[Message], str] = {
    SegmentIngested: "ingest",
    CorpusIngested: "ingest",
    SegmentCleaned: "preprocess",
    TokenizerTrained: "preprocess",
    DatasetPublished: "preprocess",
    TrialCompleted: "search",
    SearchCompleted: "search",
    TrainingStarted: "train",
    TrainingProgressed: "train",
    TrainingInterrupted: "train",
    TrainingResumed: "train",
    TrainingCompleted: "train",
    CheckpointExported: "export",
    EvaluationStarted: "evaluate",
    EvaluationCompleted: "evaluate",
    GateDecided: "evaluate",
    ModelDeploying: "deploy",
    ModelDeployed: "deploy",
    ParityCertified: "promote",
    ModelPromoted: "promote",
    BaselineSealed: "traffic",
    AlarmRaised: "watch",
}


@dataclass(frozen=True)
class Row:
    """One stage on the screen. `share` is what is done of it, None if that cannot be said."""

    status: RowStatus = "waiting"
    note: str = ""
    share: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Board:
    """All rows, what happened to the workers, and the counts that progress is measured by."""

    rows: Mapping[str, Row] = field(default_factory=lambda: {name: Row() for name in STAGES})
    incident: str = ""
    num_checkpoints: int = 0
    num_trials: int = 0
    num_tried: int = 0

    def update(self, stage: str, **changes: object) -> "Board":
        """A board with one row changed."""
        row = replace(self.rows[stage], **changes)  # type: ignore[arg-type]  # names are those of Row
        return replace(self, rows={**self.rows, stage: row})


def after(board: Board, message: Message) -> Board:
    """The board after one more event."""
    match message:
        case StageStarted(stage=stage) if stage in board.rows:
            return board.update(stage, status="running")
        case StageCompleted(stage=stage, seconds=seconds) if stage in board.rows:
            return board.update(stage, status="done", seconds=seconds, share=1.0)
        case StageInterrupted(stage=stage, cause=cause) if stage in board.rows:
            return board.update(stage, note=cause)
        case RunFailed(stage=stage, message=text) if stage in board.rows:
            return board.update(stage, status="failed", note=text)
        case RunAccepted(recipe=recipe):
            return replace(board, num_trials=int(str(recipe.get("trials", 0))))
        case CheckpointCommitted():
            return replace(board, num_checkpoints=board.num_checkpoints + 1)
        case _:
            return _noted(board, message)


def _noted(board: Board, message: Message) -> Board:
    stage = _STAGE_OF.get(type(message))
    if stage is None:
        return board
    if isinstance(message, TrainingInterrupted | TrainingResumed):
        board = replace(board, incident=describe(message))
    if isinstance(message, TrialCompleted):
        board = replace(board, num_tried=board.num_tried + 1)
    return board.update(stage, note=describe(message), share=_share(board, stage, message))


def _share(board: Board, stage: str, message: Message) -> float | None:
    match message:
        case TrainingProgressed(step=step, total_steps=total):
            return step / total
        case TrialCompleted() if board.num_trials:
            return min(1.0, board.num_tried / board.num_trials)
        case _:
            return board.rows[stage].share
