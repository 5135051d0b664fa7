"""One worker group under Ray Train: placement, the process group and the logs are Ray's, every decision is ours."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, WorkerCrashedError
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from ropewalk.trainer.adapters.cpu_meter import CpuMeter
from ropewalk.trainer.adapters.mailbox import Beat, Hello, MailboxSender, SentReport
from ropewalk.trainer.adapters.ray_cluster import num_gpus
from ropewalk.trainer.adapters.ray_errors import in_one_line
from ropewalk.trainer.adapters.worker.device import BACKENDS
from ropewalk.trainer.adapters.worker.job import WorkerError, WorkerJob, WorkerReport
from ropewalk.trainer.domain.placement import place_group
from ropewalk.trainer.domain.recovery import Symptom

logger = logging.getLogger(__name__)

_DRAIN_EVERY_S = 0.2


@dataclass(kw_only=True)
class GroupWatch:
    """What the driver knows of the group it watches."""

    stall_s: float
    on_report: Callable[[WorkerReport], None]
    meter: CpuMeter
    actors: list[Any] = field(default_factory=list)
    stalled: bool = False

    def take(self, letters: list[Hello | Beat | SentReport]) -> bool:
        """Sort the mail. True if a worker reported something."""
        reported = False
        for letter in letters:
            match letter:
                case Hello(actor=actor):
                    self.actors.append(actor)
                case Beat():
                    self.meter.note(letter)
                case SentReport(content=content):
                    self.on_report(content)
                    reported = True
        return reported


def run_group(job: WorkerJob, box: Any, storage: Path, watch: GroupWatch) -> list[Symptom]:
    """Run one group to its end and pass on its mail. Returns nothing if it ended well, else what its ranks showed."""
    symptoms: list[Symptom] = []
    thread = threading.Thread(target=_fit, args=(job, box, storage, symptoms), name="fit", daemon=True)
    watch.actors, watch.stalled = [], False
    last_sign = time.monotonic()
    thread.start()
    while thread.is_alive():
        thread.join(_DRAIN_EVERY_S)
        if watch.take(ray.get(box.drain.remote())):
            last_sign = time.monotonic()
        if time.monotonic() - last_sign > watch.stall_s and not watch.stalled:
            watch.stalled = True
            kill_group(watch)
    watch.take(ray.get(box.drain.remote()))
    if watch.stalled and symptoms:
        symptoms.append(Symptom(kind="stalled", text=f"no sign of life for {watch.stall_s:.0f} s"))
    return symptoms


def kill_group(watch: GroupWatch) -> None:
    """End every worker of the group at once."""
    for actor in watch.actors:
        ray.kill(actor)


def _fit(job: WorkerJob, box: Any, storage: Path, symptoms: list[Symptom]) -> None:
    num_workers, kind = place_group(job.recipe.derived.device, job.recipe.num_workers, num_gpus())
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job, "box": box},
        torch_config=TorchConfig(backend=BACKENDS[kind], timeout_s=120),
        scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=kind == "cuda", resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name=f"{job.run_id}-{job.epoch}-{job.attempt}",
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        symptoms += [_symptom(rank, failure) for rank, failure in sorted(error.worker_failures.items())]
    except (TrainingFailedError, RayError) as error:
        symptoms.append(Symptom(kind="cluster", text=in_one_line(error)))


def _work(config: dict[str, Any]) -> None:
    """What every worker runs. Ray has made the process group."""
    from ropewalk.trainer.adapters.worker.loop import run_worker

    job: WorkerJob = config["job"].localized()
    context = ray.train.get_context()
    sender = MailboxSender(config["box"], job.attempt)
    sender.hello()
    with sender as report:
        run_worker(job, context.get_world_rank(), context.get_world_size(), report)


def _symptom(rank: int, failure: BaseException) -> Symptom:
    inner = getattr(failure, "health_check_failure", failure)
    if isinstance(inner, OutOfMemoryError):
        return Symptom(kind="out_of_memory", text=f"Ray ended worker {rank}: the machine ran out of memory")
    if isinstance(inner, RayActorError | WorkerCrashedError):
        return Symptom(kind="died", text=f"the process of worker {rank} was killed or crashed")
    if isinstance(inner, RayError):
        return Symptom(kind="died", text=f"worker {rank} was lost: {in_one_line(inner)}")
    if isinstance(inner, WorkerError):
        return Symptom(kind="refused", text=str(inner))
    return Symptom(kind="raised", text=in_one_line(inner))
