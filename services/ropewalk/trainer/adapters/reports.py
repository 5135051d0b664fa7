"""What the service hands to its child processes, and what they report back. Plain picklable values, no Ray here."""

from dataclasses import dataclass
from pathlib import Path

from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.training import StepsCommitted, TrialCompleted
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import WorkerReport
from ropewalk.trainer.domain.recovery import AttemptCause


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """The Ray to use. An empty address starts a private one that ends with the child."""

    address: str
    num_cpus: int
    temporary: Path  # short: Ray puts Unix sockets below it, whose paths may have 107 bytes


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Train a run to its end, with as many worker groups as that takes."""

    run_id: str
    epoch: int
    first_attempt: int
    announced: frozenset[tuple[str, str]]  # checkpoint id and manifest hash of every checkpoint in the log
    recipe: Recipe
    dataset_uri: str
    dataset_version: str
    tokenizer_uri: str
    store: StoreAddress
    scratch: Path
    matrix_lr: float
    adam_lr: float
    stop_file: Path
    stall_s: float
    cluster: ClusterSpec


@dataclass(frozen=True, kw_only=True)
class SearchJob:
    """Run the trials of a search, `parallel` at a time."""

    run_id: str
    epoch: int
    recipe: Recipe
    dataset_uri: str
    dataset_version: str
    tokenizer_uri: str
    store: StoreAddress
    scratch: Path
    parallel: int
    cluster: ClusterSpec


@dataclass(frozen=True)
class SearchResult:
    """All trials in the order of their numbers, and why the first that failed did (empty if none did)."""

    trials: tuple[TrialCompleted, ...]
    first_failure: str


@dataclass(frozen=True)
class FromWorkers:
    """A worker group said something."""

    attempt: int
    report: WorkerReport


@dataclass(frozen=True, kw_only=True)
class GroupLost:
    """A worker group ended before the last step. `last_step` is the last step it took, -1 if none."""

    attempt: int
    cause: AttemptCause
    detail: str
    last_step: int
    time_unix: float  # its last sign of life


@dataclass(frozen=True)
class CheckpointFound:
    """A whole checkpoint in the ancestry of the one to resume from. It may never have been announced."""

    saved: CheckpointSaved
    committed: StepsCommitted | None


@dataclass(frozen=True, kw_only=True)
class CheckpointBroken:
    """A checkpoint did not verify and was moved to `uri`."""

    checkpoint_id: str
    step: int
    uri: str
    file: str
    reason: str


@dataclass(frozen=True)
class CpuUsed:
    """CPU seconds of processes that the child cannot account for: its workers."""

    seconds: float


TrainingReport = FromWorkers | GroupLost | CheckpointFound | CheckpointBroken | CpuUsed
