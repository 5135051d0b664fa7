"""How soon a stopped rank and a rank at half speed are named, and how often one is named that is neither, as JSON.

    python benchmarks/training/watch.py --out benchmarks/results/training_watch.json

Two ranks on hosts of their own, below Ray; real processes and signals. A rank is stopped (SIGSTOP), in the next attempt
the other one, then one is killed: told are the seconds until the loss is reported with its cause and rank. Half speed
is a quota of the kernel (a control group, as of a container) of half the CPU that rank 1 used before: told are the
steps until it is named. Alarms are counted over the steps of a training that nobody disturbs but the other work of this
machine.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.short_training import plan_of
from parts.training_data import random_dataset

from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters.attempts import Attempts
from ropewalk.trainer.adapters.hosts import LocalHosts
from ropewalk.trainer.adapters.reports import (
    ClusterSpec,
    FromWorkers,
    SlowRank,
    TrainingJob,
    TrainingReport,
)
from ropewalk.trainer.adapters.worker.job import Started, StepsDone
from ropewalk.trainer.domain.recovery import Loss

_GROUP = Path(f"/sys/fs/cgroup/cpu/ropewalk-bench-{os.getpid()}")
_PERIOD_US = 100_000
_SETTLE_STEPS = 15


@dataclass
class Observed:
    """What was reported, with the time of each."""

    when: Callable[["Observed"], None] = lambda _: None
    stop: Callable[[], None] = lambda: None
    pids: tuple[int, ...] = ()
    attempt: int = 0
    step: int = -1
    losses: list[tuple[float, Loss]] = field(default_factory=list)
    slow: list[SlowRank] = field(default_factory=list)

    def __call__(self, report: TrainingReport) -> None:
        match report:
            case FromWorkers(attempt, Started(worker_pids=pids)):
                self.attempt, self.pids, self.step = attempt, pids, -1
            case FromWorkers(_, StepsDone(rows=rows)):
                self.step = rows[-1].step
                self.when(self)
            case Loss():
                self.losses.append((time.monotonic(), report))
            case SlowRank():
                self.slow.append(report)
                self.when(self)


@dataclass
class Site:
    """A folder with a dataset, in which trainings run one after the other."""

    root: Path
    size: str
    batch: int

    def train(self, steps: int, observed: Observed) -> int:
        """Train so many steps; returns how many were done."""
        plan = plan_of(self.size, batch_size=self.batch, total_steps=steps, checkpoint_every=max(1, steps // 5))
        source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
        recipe = Recipe(sources=(source,), plan=plan, size=self.size, strategy="ddp", num_workers=2)
        if not (self.root / "objects").exists():
            random_dataset(self.root, plan)
            tokenizer = self.root / "tokenizer"
            tokenizer.mkdir()
            (tokenizer / "tokenizer.json").write_text("{}")
            LocalObjects(self.root / "objects").publish(tokenizer, "tokenizers/none", {})
        scratch = Path(tempfile.mkdtemp(dir=self.root))
        job = TrainingJob(
            run_id=scratch.name.replace("_", "-"),
            epoch=1,
            first_attempt=1,
            announced=frozenset(),
            recipe=recipe,
            dataset_uri="datasets/bench",
            dataset_version="bench",
            tokenizer_uri="tokenizers/none",
            store=StoreAddress(url=(self.root / "objects").as_uri()),
            scratch=scratch,
            matrix_lr=plan.matrix_lr,
            adam_lr=plan.adam_lr,
            stop_file=self.root / f"stop-{scratch.name}",
            stall_s=300,
            cluster=ClusterSpec(address="", num_cpus=2, temporary=scratch),
        )
        observed.stop = job.stop_file.touch
        with LocalHosts(2, "ddp", scratch) as hosts:
            return Attempts(job, observed, hosts).run().step


_FAULTS = ((1, signal.SIGSTOP, "hang"), (0, signal.SIGSTOP, "hang"), (1, signal.SIGKILL, "worker_lost"))


def lost(site: Site) -> dict[str, object]:
    """In each attempt another fault: a rank, what it gets, and the cause that must be named."""
    done_at: dict[int, float] = {}

    def harm(seen: Observed) -> None:
        due = seen.attempt <= len(_FAULTS) and seen.step >= _SETTLE_STEPS * seen.attempt
        if due and seen.attempt not in done_at:
            rank, number, _ = _FAULTS[seen.attempt - 1]
            done_at[seen.attempt] = time.monotonic()
            os.kill(seen.pids[rank], number)

    observed = Observed(harm)
    done = site.train(80, observed)
    named = []
    for at, loss in observed.losses:
        rank, number, cause = _FAULTS[loss.attempt - 1]
        named.append(
            {
                "fault": f"{number.name} to rank {rank}",
                "seconds_to_the_post_mortem": round(at - done_at[loss.attempt], 2),
                "right": (loss.cause, loss.found.ranks) == (cause, (rank,)),
                "detail": loss.detail,
                "last_steps": list(loss.found.last_steps),
                "stacks": bool(loss.found.stacks_uri),
            }
        )
    return {"losses": named, "steps_done": done}


def half_speed(site: Site) -> dict[str, object]:
    """A quota for rank 1 of half of what it used."""
    began: dict[str, float] = {}

    def slow_down(seen: Observed) -> None:
        if seen.step >= _SETTLE_STEPS and "cpu" not in began:
            began.update(cpu=_cpu_s(seen.pids[1]), at=time.monotonic())
        if seen.step >= 2 * _SETTLE_STEPS and "step" not in began:
            rate = (_cpu_s(seen.pids[1]) - began["cpu"]) / (time.monotonic() - began["at"])
            _GROUP.mkdir()
            (_GROUP / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (_GROUP / "cpu.cfs_quota_us").write_text(str(max(1000, round(rate * _PERIOD_US / 2))))
            for thread in Path(f"/proc/{seen.pids[1]}/task").iterdir():
                (_GROUP / "tasks").write_text(thread.name)
            began.update(step=seen.step, rate=rate)
        if seen.slow or seen.step > 150:
            seen.stop()

    observed = Observed(slow_down)
    try:
        site.train(400, observed)
    finally:
        with suppress(OSError):
            _GROUP.rmdir()
    first = observed.slow[0].slow if observed.slow else None
    return {
        "cpu_before": round(began.get("rate", 0.0), 3),
        "named": first.rank if first else None,
        "after_steps": first.step - began["step"] if first else None,
        "speed": round(first.speed, 2) if first else None,
        "right": first is not None and first.rank == 1 and first.step > began["step"],
    }


def undisturbed(site: Site, steps: int) -> dict[str, object]:
    """Alarms of a training that nobody disturbs."""
    observed = Observed()
    began = time.monotonic()
    done = site.train(steps, observed)
    return {
        "steps": done,
        "seconds": round(time.monotonic() - began, 1),
        "stragglers_named": [f"rank {each.slow.rank} at {each.slow.speed:.2f}" for each in observed.slow],
        "losses": [loss.detail for _, loss in observed.losses],
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="nano")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=3, help="of the half speed")
    parser.add_argument("--only", choices=("lost", "half_speed", "undisturbed"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        site = Site(Path(name), options.size, options.batch)
        parts: dict[str, Callable[[], object]] = {
            "lost": lambda: lost(site),
            "half_speed": lambda: [half_speed(site) for _ in range(options.repetitions)],
            "undisturbed": lambda: undisturbed(site, options.steps),
        }
        result: dict[str, object] = {"machine": describe(), "size": options.size, "batch": options.batch}
        for part, measure in parts.items():
            if options.only in (None, part):
                result[part] = measure()
                print(f"{part}: {result[part]}", file=sys.stderr, flush=True)
        result["load_at_the_end"] = round(os.getloadavg()[0], 1)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
