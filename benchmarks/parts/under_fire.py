"""A training on two CPU ranks whose processes are killed while it runs, below Ray or under a private one."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from parts.training_data import random_dataset

from ropewalk.events.training import StepMetrics
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.attempts import Attempts
from ropewalk.trainer.adapters.hosts import Hosts, LocalHosts
from ropewalk.trainer.adapters.ray_cluster import surround
from ropewalk.trainer.adapters.reports import ClusterSpec, FromWorkers, TrainingJob, TrainingReport
from ropewalk.trainer.adapters.worker.job import Started, StepsDone
from ropewalk.trainer.domain.recovery import Loss

_STEPS = 1_000_000  # it is stopped long before


@dataclass
class Fire:
    """Watches a training; `shoot` is asked after every report and kills when it likes."""

    stop_file: Path
    shoot: Callable[["Fire"], None]
    attempt: int = 0
    pids: tuple[int, ...] = ()
    steps_of_attempt: int = 0
    rows: list[StepMetrics] = field(default_factory=list)
    first_step_at: dict[int, float] = field(default_factory=dict)  # by attempt, Unix seconds at its end
    causes: list[str] = field(default_factory=list)

    def __call__(self, report: TrainingReport) -> None:
        """Take a report."""
        match report:
            case FromWorkers(attempt, Started(worker_pids=pids)):
                self.attempt, self.pids, self.steps_of_attempt = attempt, pids, 0
            case FromWorkers(attempt, StepsDone(rows=rows)):
                self.first_step_at.setdefault(attempt, rows[0].time_unix)
                self.rows += rows
                self.steps_of_attempt += len(rows)
                self.shoot(self)
            case Loss():
                self.causes.append(report.cause)

    def kill(self, generation: int) -> float:
        """Kill the last rank's worker (0), its fork server (1) or its host (2); returns when, in Unix seconds."""
        pid = self.pids[-1]
        for _ in range(generation):
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert pid != os.getpid(), "without Ray the host is this process"
        moment = time.time()
        os.kill(pid, signal.SIGKILL)
        return moment


def train(shoot: Callable[[Fire], None], *, under_ray: bool, checkpoint_every: int = 20) -> Fire:
    """Train until `shoot` has made the stop file."""
    with tempfile.TemporaryDirectory(prefix="ropewalk-fire-") as name:
        job = job_in(Path(name), checkpoint_every)
        fire = Fire(job.stop_file, shoot)
        with hosts_of(job, under_ray=under_ray) as hosts:
            Attempts(job, fire, hosts).run()
    return fire


@contextmanager
def hosts_of(job: TrainingJob, *, under_ray: bool) -> Iterator[Hosts]:
    """What a job trains on."""
    made: AbstractContextManager[Hosts]
    if under_ray:
        surround(job.cluster)
        from ropewalk.trainer.adapters.ray_hosts import RayHosts

        made = RayHosts(job.cluster, job.recipe, job.scratch)
    else:
        made = LocalHosts(job.recipe.num_workers, job.recipe.chosen_strategy, job.scratch)
    with made as hosts:
        yield hosts


def job_in(
    root: Path,
    checkpoint_every: int,
    *,
    strategy: str = "auto",
    num_workers: int = 2,
    steps: int = _STEPS,
    size: str = "tiny",
) -> TrainingJob:
    """A training of random tokens, all of whose files are below `root`."""
    source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
    wanted = {"sources": [source], "size": size, "minutes": 0.5, "strategy": strategy, "num_workers": num_workers}
    recipe = complete(Recipe.model_validate(wanted))
    plan = recipe.derived.model_copy(update={"total_steps": steps, "checkpoint_every": checkpoint_every})
    recipe = recipe.model_copy(update={"plan": plan})
    random_dataset(root, plan)
    folder = root / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    store = StoreAddress(url=(root / "objects").as_uri())
    store.connect().publish(folder, "tokenizers/none", {})
    return TrainingJob(
        run_id="fire",
        epoch=1,
        first_attempt=1,
        announced=frozenset(),
        recipe=recipe,
        dataset_uri="datasets/bench",
        dataset_version="bench",
        tokenizer_uri="tokenizers/none",
        store=store,
        scratch=root / "scratch",
        matrix_lr=plan.matrix_lr,
        adam_lr=plan.adam_lr,
        stop_file=root / "stop",
        stall_s=120,
        cluster=ClusterSpec(address="", num_cpus=2, temporary=Path(f"/tmp/rw-fire-{os.getuid()}")),
    )


def quiet() -> None:
    """Send what dying ranks print to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
