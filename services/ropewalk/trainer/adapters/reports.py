"""What the service hands to its child processes, and what they report back. Plain picklable values, no Ray here."""

from dataclasses import dataclass
from pathlib import Path

from ropewalk.events.checkpoint import CheckpointQuarantined
from ropewalk.events.training import RungReached
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Origin, WorkerJob, WorkerReport
from ropewalk.trainer.domain.caps import step_of_cap
from ropewalk.trainer.domain.recovery import Loss
from ropewalk.trainer.domain.straggler import Straggler


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """The Ray to use. An empty address starts a private one that ends with the child."""

    address: str
    num_cpus: int
    temporary: Path  # short: Ray puts Unix sockets below it, whose paths may have 107 bytes


@dataclass(frozen=True, kw_only=True)
class ChildJob:
    """What training and search have in common."""

    run_id: str
    epoch: int
    recipe: Recipe
    dataset_uri: str
    dataset_version: str
    tokenizer_uri: str
    store: StoreAddress
    scratch: Path
    cluster: ClusterSpec
    evalset_uri: str = ""

    def for_workers(
        self, attempt: int, matrix_lr: float, adam_lr: float, stop_file: Path | None, checkpoint: str = ""
    ) -> WorkerJob:
        """A job for workers, each of whom fetches the checkpoint of that key and begins there.

        Raises ObjectNotFoundError, ManifestError if the data are not there.
        """
        objects = self.store.connect()
        evalset = self.evalset_uri if self.recipe.derived.validate_every else ""
        return WorkerJob(
            run_id=self.run_id,
            epoch=self.epoch,
            attempt=attempt,
            recipe=self.recipe,
            dataset=objects.fetch(self.dataset_uri),
            dataset_version=self.dataset_version,
            tokenizer=objects.fetch(self.tokenizer_uri),
            store=self.store,
            origin=Origin(
                dataset=self.dataset_uri, tokenizer=self.tokenizer_uri, checkpoint=checkpoint, evalset=evalset
            ),
            evalset=objects.fetch(evalset) if evalset else None,
            scratch=self.scratch,
            matrix_lr=matrix_lr,
            adam_lr=adam_lr,
            stop_file=stop_file,
            stop_before=step_of_cap(self.recipe),
        )


@dataclass(frozen=True, kw_only=True)
class TrainingJob(ChildJob):
    """Train a run to its end, with as many worker groups as that takes."""

    first_attempt: int
    announced: frozenset[tuple[str, str]]  # checkpoint id and manifest hash of every checkpoint in the log
    gone: frozenset[str] = frozenset()  # the ids of those that were quarantined or pruned
    matrix_lr: float
    adam_lr: float
    stop_file: Path
    stall_s: float
    spent_s: float = 0.0  # by groups of earlier holders, for the caps


@dataclass(frozen=True, kw_only=True)
class SearchJob(ChildJob):
    """Run the trials of a search, `parallel` at a time."""

    parallel: int
    journal: tuple[RungReached, ...] = ()  # of an earlier holder, in the order of the log


@dataclass(frozen=True)
class FromWorkers:
    """A worker group said something."""

    attempt: int
    report: WorkerReport


@dataclass(frozen=True)
class SlowRank:
    """One rank of a group holds up the others."""

    attempt: int
    slow: Straggler


@dataclass(frozen=True)
class CpuUsed:
    """CPU seconds of processes that the child cannot account for: its workers."""

    seconds: float


# CheckpointWritten: one that is in the ancestry of the one to resume from and may never have been announced
TrainingReport = FromWorkers | Loss | CheckpointWritten | CheckpointQuarantined | SlowRank | CpuUsed
