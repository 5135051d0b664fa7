"""What is shown of a run while it is under way: one row per stage, a fold over the run's events. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ropewalk.client.describe import describe, why_decided
from ropewalk.client.goodput import productive
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointExported, CheckpointValidated, ModelPromoted, ParityCertified
from ropewalk.events.data import (
    BaseModelAsked,
    CorpusIngested,
    DatasetPublished,
    SegmentCleaned,
    SegmentIngested,
    TokenizerTrained,
)
from ropewalk.events.evaluation import EvaluationCompleted, EvaluationProgressed, EvaluationStarted, GateDecided
from ropewalk.events.monitoring import AlarmRaised, BaselineSealed
from ropewalk.events.pauses import PAUSED
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRejected,
    StageCompleted,
    StageInterrupted,
    StageQueued,
    StageStalled,
    StageStarted,
)
from ropewalk.events.serving import ModelDeployed, ModelDeploying
from ropewalk.events.training import (
    RungReached,
    SearchCompleted,
    StepMetricsBatch,
    StragglerFound,
    TimeAccount,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingStarted,
    TrainingValidated,
    TrialCompleted,
)
from ropewalk.report.card import RUN_STAGES, STAGES
from ropewalk.report.facts import duration

RowStatus = Literal["waiting", "queued", "paused", "running", "done", "failed"]
_UNDER_WAY = ("queued", "paused", "running")
_TELLING: Mapping[str, tuple[type[Message], ...]] = {  # what says how a stage gets on
    "ingest": (SegmentIngested, CorpusIngested),
    "preprocess": (BaseModelAsked, SegmentCleaned, TokenizerTrained, DatasetPublished),
    "search": (RungReached, TrialCompleted, SearchCompleted),
    "train": (
        TrainingStarted,
        TrainingProgressed,
        TrainingValidated,
        CheckpointValidated,
        StragglerFound,
        TrainingInterrupted,
        TrainingResumed,
        TrainingCompleted,
    ),
    "export": (CheckpointExported,),
    "evaluate": (EvaluationStarted, EvaluationProgressed, EvaluationCompleted, GateDecided),
    "deploy": (ModelDeploying, ModelDeployed),
    "promote": (ParityCertified, ModelPromoted),
    "traffic": (BaselineSealed,),
    "watch": (AlarmRaised,),
}
_DOING = {  # what takes minutes and says nothing meanwhile
    "promote": "the weights, the export and the endpoint answer the same prompts; promoted if their tokens agree",
}
_STAGE_OF = {kind: stage for stage, kinds in _TELLING.items() for kind in kinds}
_WHOLES: Mapping[str, type[Message]] = {  # what follows the end of a stage and sums it up
    "ingest": CorpusIngested,
    "preprocess": DatasetPublished,
    "search": SearchCompleted,
    "train": TrainingCompleted,
}
_ENDING_OF: Mapping[type[Message], str] = {
    RunRejected: "the recipe was refused: ",
    RunCompleted: "",
    RunFailed: "failed in ",
    RunCancelled: "cancelled ",
}


@dataclass(frozen=True)
class StageRow:
    """One stage on the screen. `share` is what is done of it, None if that cannot be said.

    `began` is when it was started, in seconds since 1970, 0 where the log does not say. `is_whole`: nothing that sums
    the stage up is still to come.
    """

    status: RowStatus = "waiting"
    note: str = ""
    share: float | None = None
    seconds: float = 0.0
    began: float = 0.0
    is_whole: bool = True


@dataclass(frozen=True)
class Board:
    """All rows, what happened to the workers, how the run ended, the gate's reasons, and the counts of the progress.

    `is_recovered`: the run goes on since the incident. `news` is when the last sign of life was stored, in seconds
    since 1970.
    """

    rows: Mapping[str, StageRow] = field(default_factory=lambda: {name: StageRow() for name in STAGES})
    incident: str = ""
    is_recovered: bool = True
    ending: str = ""
    verdict: str = ""
    news: float = 0.0
    is_accepted: bool = False
    has_task: bool = False  # it bakes one job
    num_trials: int = 0
    num_tried: int = 0
    num_segments: int = 0
    num_cleaned: int = 0
    total_steps: int = 0
    account: TimeAccount = field(default_factory=TimeAccount)
    held_out: str = ""  # the newest validation loss

    @classmethod
    def of_a_run(cls) -> "Board":
        """The stages that every run has; the others are the demo's own."""
        return cls(rows={name: StageRow() for name in RUN_STAGES})

    def update(self, stage: str, **changes: object) -> "Board":
        """A board with one row changed."""
        row = replace(self.rows[stage], **changes)  # type: ignore[arg-type]  # names are those of StageRow
        return replace(self, rows={**self.rows, stage: row})


def after(board: Board, message: Message, at: float = 0.0) -> Board:
    """The board after one more event, which was stored `at` seconds since 1970 (0: not known)."""
    board = replace(board, news=max(board.news, at))
    match message:
        case RunRejected() | RunCompleted() | RunCancelled() | RunFailed():
            return _ended(board, message)
        case StageQueued(stage=stage) if stage in board.rows:
            return board.update(stage, status="queued", note=describe(message).removeprefix(f"{stage} "))
        case StageStarted(stage=stage) if stage in board.rows:
            row = board.rows[stage]
            note = "" if row.status in ("queued", "paused") else row.note
            note = note or _DOING.get(stage, "")
            board = _all_whole(board)
            return board.update(stage, status="running", began=row.began or at, note=note)
        case StageCompleted(stage=stage, seconds=seconds) if stage in board.rows:
            # The event that sums the stage up comes after its end; until then the row has no last word.
            part = {"note": "", "is_whole": False} if stage in _WHOLES else {}
            return board.update(stage, status="done", seconds=seconds, share=1.0, **part)
        case StageInterrupted(stage=stage, cause=cause) if stage in board.rows:
            is_paused, by_itself = cause == PAUSED, f"{cause}; it is tried again by itself"
            status: RowStatus = "paused" if is_paused else board.rows[stage].status
            return board.update(stage, status=status, note="" if is_paused else by_itself)
        case StageStalled(stage=stage) if stage in board.rows:
            return board.update(stage, note=f"{describe(message)}; it is tried again by itself")
        case RunAccepted(recipe=recipe):
            trials = int(str(recipe.get("trials", 0)))
            return replace(board, is_accepted=True, has_task=bool(recipe.get("task")), num_trials=trials)
        case StepMetricsBatch(rows=steps) if steps and board.rows["train"].status == "running":
            return _stepped(board, message)
        case _:
            return _noted(board, message)


def where(board: Board, now: float) -> str:
    """Where a run stands, in a line: its stage, for how long, how much of it is done, and what it said last."""
    under_way = [(name, row) for name, row in board.rows.items() if row.status in _UNDER_WAY]
    if not under_way:
        return "between two stages" if board.is_accepted else "submitted; no service has answered yet"
    words = []
    for name, row in under_way:
        verb = {"queued": "waits in line", "paused": "is paused"}.get(row.status, "runs")
        since = f" for {duration(max(0.0, now - row.began))}" if row.began else ""
        share = f", {row.share:.0%}" if row.share is not None else ""
        words.append(f"{name} {verb}{since}{share}{f': {row.note}' if row.note else ''}")
    return "; ".join(words)


def _ended(board: Board, message: Message) -> Board:
    """A stage that was under way when the run ended badly is where it ended."""
    not_promoted = isinstance(message, RunCompleted) and message.outcome != "promoted"
    why = f": {board.verdict}" if not_promoted and board.verdict else ""
    board = replace(_all_whole(board), ending=f"{_ENDING_OF[type(message)]}{describe(message)}{why}")
    if isinstance(message, RunFailed) and message.stage in board.rows:
        return board.update(message.stage, status="failed", note=message.message)
    for stage in [name for name, row in board.rows.items() if row.status in _UNDER_WAY]:
        board = board.update(stage, status="failed" if not isinstance(message, RunCompleted) else "done")
    return board


def _all_whole(board: Board) -> Board:
    """Where the log goes on, no stage before is waited for."""
    return replace(board, rows={name: replace(row, is_whole=True) for name, row in board.rows.items()})


def _stepped(board: Board, message: StepMetricsBatch) -> Board:
    """Between two facts of the log the step metrics say how training gets on."""
    last = message.rows[-1]
    if not board.total_steps:
        return board
    # The pace of this batch alone: what earlier attempts did says nothing of the workers now.
    seconds = sum(row.step_s + row.checkpoint_s for row in message.rows)
    left_s = (board.total_steps - last.step - 1) * seconds / len(message.rows)
    pace = sum(row.tokens for row in message.rows) / max(seconds, 1e-9)
    note = f"step {last.step} of {board.total_steps}, loss {last.loss:.3f}{board.held_out}, {pace:,.0f} tokens/s"
    note = ", ".join(filter(None, (note, productive(board.account))))
    return board.update("train", note=f"{note}, {duration(left_s)} left", share=last.step / board.total_steps)


def _noted(board: Board, message: Message) -> Board:
    stage = _STAGE_OF.get(type(message))
    if stage is None or stage not in board.rows:
        return board
    if isinstance(message, TrainingInterrupted | TrainingResumed | StragglerFound):
        reason = f" ({board.incident})" if isinstance(message, TrainingResumed) and not board.is_recovered else ""
        gets_on = not isinstance(message, TrainingInterrupted)
        board = replace(board, incident=f"{describe(message)}{reason}", is_recovered=gets_on)
    if isinstance(message, TrialCompleted):
        board = replace(board, num_tried=board.num_tried + 1)
    if isinstance(message, TrainingStarted | TrainingProgressed):
        board = replace(board, total_steps=message.total_steps)
    if isinstance(message, TrainingProgressed):
        board = replace(board, account=message.account)
    if isinstance(message, TrainingValidated | CheckpointValidated):
        return replace(board, held_out=f" (validation {message.loss:.3f})")
    if isinstance(message, GateDecided):
        board = replace(board, verdict=why_decided(message))
    if isinstance(message, CorpusIngested):
        board = replace(board, num_segments=len(message.segments))
    if isinstance(message, SegmentCleaned):
        board = replace(board, num_cleaned=board.num_cleaned + 1)
    left = f", {duration(message.seconds_left)} left" if isinstance(message, TrainingProgressed) else ""
    whole = {"is_whole": True} if isinstance(message, _WHOLES.get(stage, ())) else {}
    return board.update(stage, note=describe(message) + left, share=_share(board, stage, message), **whole)


def _share(board: Board, stage: str, message: Message) -> float | None:
    match message:
        case TrainingProgressed(step=step, total_steps=total) if total:
            return step / total
        case EvaluationProgressed(num_answers=done, num_asked=total) if total:
            return done / total
        case BaseModelAsked(num_asked=done, num_documents=total) if total:
            return done / total
        case SegmentCleaned() if board.num_segments:
            return min(1.0, board.num_cleaned / board.num_segments)
        case TrialCompleted() if board.num_trials:
            return min(1.0, board.num_tried / board.num_trials)
        case _:
            return board.rows[stage].share
