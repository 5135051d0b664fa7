"""What goes into a training worker and what comes out of it. Plain picklable values: no torch, no Ray, no NATS here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ropewalk.events.checkpoint import CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.training import (
    SamplesLeftOut,
    StepMetrics,
    StepsCommitted,
    StepSkipped,
    TrainingRolledBack,
    TrainingValidated,
)
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.domain.checkpoint_place import CheckpointPlace
from ropewalk.trainer.domain.goodput import Yardstick
from ropewalk.trainer.domain.poison import Suspect
from ropewalk.trainer.domain.sight import Phase
from ropewalk.trainer.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The object keys behind the folders of a job. `checkpoint` is empty for a start from scratch."""

    dataset: str
    tokenizer: str
    checkpoint: str = ""
    evalset: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerJob:
    """One attempt at training, the same value on every rank. A search trial is a job with `stop_after_steps` > 0."""

    run_id: str
    epoch: int
    attempt: int
    recipe: Recipe  # complete; for a trial with another strategy pass a changed copy
    dataset: Path  # the fetched folder of the dataset version
    dataset_version: str
    tokenizer: Path  # the fetched tokenizer folder
    store: StoreAddress  # where checkpoints are published
    scratch: Path  # private and writable; best on the same file system as a local store
    matrix_lr: float
    adam_lr: float
    evalset: Path | None = None  # the fetched folder of held-out documents; None: nobody looks at the loss on them
    resume_from: Path | None = None  # the fetched folder of a checkpoint that verified
    stop_after_steps: int = 0  # > 0: a trial, which reports losses and saves nothing on its way
    keeps_trial: bool = False  # a trial saves its end, to go on from there
    stop_before: int = 0  # > 0: as if the stop file came after so many steps
    origin: Origin | None = None  # lets a worker on another machine fetch the folders for itself
    stop_file: Path | None = None  # once it exists, the job saves (a trial does not) and finishes early
    stamps: Path | None = None  # a folder of its own machine where each rank leaves what it does now: `adapters.stamps`
    rendezvous: str = ""  # where the ranks meet, an `init_method` of torch; empty: the environment says it
    suspects: tuple[Suspect, ...] = ()  # steps whose batches seem to end the process that computes them
    patience_s: float = 180.0  # how long the last checkpoint is tried again; training has nothing else left to do

    def localized(self) -> "WorkerJob":
        """The job with folders of the machine that calls this. Raises ObjectNotFoundError, ManifestError."""
        if self.origin is None:
            return self
        objects, origin = self.store.connect(), self.origin
        return replace(
            self,
            dataset=objects.fetch(origin.dataset),
            tokenizer=objects.fetch(origin.tokenizer),
            evalset=objects.fetch(origin.evalset) if origin.evalset else None,
            resume_from=objects.fetch(origin.checkpoint) if origin.checkpoint else None,
        )

    def place(self, step: int) -> CheckpointPlace:
        """Of its checkpoint after that many steps."""
        return CheckpointPlace(run_id=self.run_id, epoch=self.epoch, step=step)

    def stops_after(self, step: int) -> bool:
        """Whether somebody asks to save and finish when that step is done."""
        return 0 < self.stop_before <= step + 1 or (self.stop_file is not None and self.stop_file.exists())

    @property
    def is_trial(self) -> bool:
        """Whether this job only measures a loss."""
        return self.stop_after_steps > 0

    @property
    def saves_end(self) -> bool:
        """Whether its last state becomes a checkpoint."""
        return self.keeps_trial or not self.is_trial

    @property
    def total_steps(self) -> int:
        """How many steps the job ends at."""
        return self.stop_after_steps or self.recipe.derived.total_steps


@dataclass(frozen=True, kw_only=True)
class Started:
    """The group is ready to take step `resume_step`. `worker_pids` is ordered by rank."""

    worker_pids: tuple[int, ...]
    resume_step: int
    num_parameters: int
    device: str  # of rank 0, with its precision and why it is not the one that was asked for
    resumed_checkpoint_id: str  # empty: from scratch
    yardstick: Yardstick = field(default_factory=Yardstick)  # of one rank


@dataclass(frozen=True, kw_only=True)
class StepsDone:
    """Metrics of the steps since the last report, about twice a second (not sent by trials).

    `tokens` of a row are those of that step over all ranks; `lr` is the rate of the matrices.
    """

    rows: tuple[StepMetrics, ...]


@dataclass(frozen=True, kw_only=True)
class StepLoss:
    """A trial took step `step` (0-based); `loss` is the mean over the global batch, in nats per token."""

    step: int
    loss: float


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint lies whole in the object store. The values are the events to publish."""

    saved: CheckpointSaved
    committed: StepsCommitted | None  # None: its ledger is empty
    rows: tuple[StepMetrics, ...] = ()  # of its steps; given only by those who find it in the store


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last report. `stopped` says that the stop file or a cap ended the job early, `left` that a rank got notice
    (SIGTERM) and all have left.

    `num_steps` were taken, `step` of them are in the checkpoint: fewer, if training was stopped early for its best one.
    `loss` is the mean over the last (at most 20) steps; `seconds` the time spent in this attempt; `checkpoint_id` and
    `uri` are empty for a trial that does not keep its end.
    """

    step: int
    loss: float
    tokens: int
    seconds: float
    stopped: bool
    checkpoint_id: str
    uri: str
    stopped_by: str = ""  # the cap that did, or patience
    spent: Mapping[Phase, float] = field(default_factory=dict)  # seconds by phase since the last step
    left: bool = False
    num_steps: int = 0


# the events among them are published as they are
WorkerReport = (
    Started
    | StepsDone
    | StepLoss
    | StepSkipped
    | TrainingValidated
    | TrainingRolledBack
    | SamplesLeftOut
    | CheckpointWritten
    | CheckpointSaveFailed
    | Finished
)


class WorkerError(TrainingError, RuntimeError):
    """Training cannot go on and repeating the attempt would not help. The text is one sentence for the user."""
