"""What a host, its fork server and the worker that was forked say to each other. Plain picklable values."""

from dataclasses import dataclass
from pathlib import Path

from ropewalk.trainer.adapters.cpu_meter import Beat
from ropewalk.trainer.adapters.worker.job import WorkerJob
from ropewalk.trainer.domain.recovery import Symptom


@dataclass(frozen=True, kw_only=True)
class RankTask:
    """One rank's part in one attempt."""

    job: WorkerJob
    rank: int
    world_size: int
    local_rank: int  # of the GPUs that its process sees, which is its own
    on_one_machine: bool


@dataclass(frozen=True)
class PassOn:
    """To the fork server: send the worker this signal."""

    signal_number: int


@dataclass(frozen=True, kw_only=True)
class Exited:
    """From the fork server: the worker is gone. `cpu_seconds` are the server's and those of all its workers so far."""

    code: int  # as subprocess gives it: negative for a signal
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """From a host: how the worker ended; no symptom if well."""

    symptom: Symptom | None
    used: Beat


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a host is."""

    machine: str  # equal for hosts that share memory and files
    address: str
    folder: Path  # private to us
    free_port: int
    own_device: bool  # it sees no GPU but its own
