"""Jobs on a tiny synthetic dataset, and a way to run them on two real gloo ranks."""

import dataclasses
import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ropewalk.corpus.shards import ShardMeta, TokenWriter
from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters.worker.job import StepsDone, WorkerJob, WorkerReport
from ropewalk.trainer.adapters.worker.loop import run_worker

LAUNCHER = Path(__file__).parent / "launch_ranks.py"


def a_plan(**changes: object) -> Plan:
    plan = Plan(
        vocab_size=300,
        context_length=16,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        intermediate_size=48,
        batch_size=5,
        total_steps=12,
        warmup_steps=2,
        decay_start=8,
        matrix_lr=0.02,
        adam_lr=0.01,
        weight_decay=0.1,
        grad_clip=1.0,
        checkpoint_every=4,
        keep_checkpoints=3,
        trial_steps=5,
        usd_per_cpu_hour=0.04,
    )
    return plan.model_copy(update=changes)


def a_recipe(plan: Plan | None = None, **changes: object) -> Recipe:
    recipe = Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), plan=plan or a_plan())
    return recipe.model_copy(update=changes)


def write_dataset(folder: Path, *, num_windows: int = 40, masked: bool = False, vocab_size: int = 300) -> None:
    """Tokens of a noisy counting language: the next token is mostly the last one plus three."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    length = 16
    tokens = np.zeros(num_windows * length + 1, dtype=np.int64)
    for place in range(1, len(tokens)):
        tokens[place] = (tokens[place - 1] + 3) % vocab_size if random.random() < 0.9 else random.integers(vocab_size)
    with TokenWriter(folder, dtype="<u2", has_mask=masked) as writer:
        writer.append(tokens, (tokens % 2 == 0) if masked else None)
    counts = np.bincount(tokens, minlength=vocab_size).tolist()
    (folder / "unigram.json").write_text(json.dumps({"counts": counts}))


def meta(num_windows: int = 40, *, masked: bool = False) -> ShardMeta:
    return ShardMeta(
        dataset_version="d" * 64,
        tokenizer_uri="tokenizers/none",
        context_length=16,
        num_tokens=num_windows * 16 + 1,
        num_windows=num_windows,
        dtype="<u2",
        has_mask=masked,
        eos_id=0,
    )


@dataclass
class Workshop:
    """A folder with an object store and datasets, from which jobs are made."""

    root: Path

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.root / "objects")

    def dataset(self, *, num_windows: int = 40, masked: bool = False) -> Path:
        key = f"datasets/{num_windows}-{masked}"
        if not self.objects.exists(key):
            folder = self.root / f"dataset-{num_windows}-{masked}"
            write_dataset(folder, num_windows=num_windows, masked=masked)
            self.objects.publish(folder, key, meta(num_windows, masked=masked).as_json())
        return self.objects.fetch(key)

    def job(
        self, run_id: str, recipe: Recipe | None = None, *, dataset: Path | None = None, **changes: object
    ) -> WorkerJob:
        recipe = recipe or a_recipe()
        job = WorkerJob(
            run_id=run_id,
            epoch=1,
            attempt=1,
            recipe=recipe,
            dataset=dataset or self.dataset(),
            dataset_version="d" * 64,
            tokenizer=self.root,
            store=StoreAddress(url=(self.root / "objects").as_uri()),
            scratch=self.root / "scratch",
            matrix_lr=recipe.derived.matrix_lr,
            adam_lr=recipe.derived.adam_lr,
        )
        return dataclasses.replace(job, **changes)

    def checkpoint(self, run_id: str, step: int, epoch: int = 1) -> Path:
        """Where a checkpoint is, or will be."""
        return self.root / "objects" / "runs" / run_id / "checkpoints" / f"{epoch}-{step}"


def run_alone(job: WorkerJob) -> list[WorkerReport]:
    """The job on one rank in this process."""
    reports: list[WorkerReport] = []
    run_worker(job, 0, 1, reports.append)
    return reports


def start_ranks(jobs: Sequence[WorkerJob], world_size: int, folder: Path) -> list[subprocess.Popen[bytes]]:
    """The jobs one after the other on `world_size` processes that form one gloo group."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "jobs.pickle").write_bytes(pickle.dumps(list(jobs)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(world_size):
        environment = os.environ | {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "DS_ACCELERATOR": "cpu",
            "DS_BUILD_OPS": "0",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world_size),
        }
        with (folder / f"rank-{rank}.log").open("wb") as log:
            processes.append(
                subprocess.Popen([sys.executable, LAUNCHER, folder], env=environment, stdout=log, stderr=log)
            )
    return processes


def run_on_ranks(
    jobs: Sequence[WorkerJob], world_size: int, folder: Path, patience_s: float = 90
) -> list[list[WorkerReport]]:
    """Start the ranks and wait for the reports of each job."""
    processes = start_ranks(jobs, world_size, folder)
    try:
        codes = [process.wait(patience_s) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert codes == [0] * world_size, (folder / "rank-0.log").read_text()[-4000:]
    reports: list[list[WorkerReport]] = pickle.loads((folder / "reports.pickle").read_bytes())
    return reports


def losses(reports: Sequence[WorkerReport]) -> dict[int, float]:
    return {row.step: row.loss for report in reports if isinstance(report, StepsDone) for row in report.rows}


@dataclass(frozen=True)
class Tools:
    """The functions above, for tests that cannot import this file."""

    in_parts = "-in-parts"  # the end of a run's id that makes the launcher cut its batches into single windows

    a_plan = staticmethod(a_plan)
    a_recipe = staticmethod(a_recipe)
    run_alone = staticmethod(run_alone)
    start_ranks = staticmethod(start_ranks)
    run_on_ranks = staticmethod(run_on_ranks)
    losses = staticmethod(losses)


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture(scope="session")
def shared_workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))
