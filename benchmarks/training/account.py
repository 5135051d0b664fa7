"""Whether the account of a training holds: a run whose workers are killed twice, against clocks outside of it.

    python benchmarks/training/account.py [--steps 400] [--kills 2] [--out FOLDER]

Two ranks under Ray, as in the service, without a bus. Every second must have a name (the names sum to the wall time
±1 %), every restart must last as long as a watch outside says, and every step must have its row of metrics. Prints
JSON.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.training_data import random_dataset

from ropewalk.events.training import StepMetrics, StepMetricsBatch, TimeAccount, TrainingStarted
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.stages.child import run_child
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.adapters.reports import ClusterSpec, CpuUsed, TrainingJob, TrainingReport
from ropewalk.trainer.domain.goodput import Goodput
from ropewalk.trainer.domain.story import Past, Story
from ropewalk.trainer.handlers import told_by


@dataclass
class Watch:
    """Kills workers at given steps, and keeps time by its own clock."""

    kill_at: list[int]
    rows: list[StepMetrics] = field(default_factory=list)
    killed_at: list[float] = field(default_factory=list)
    back_at: list[float] = field(default_factory=list)
    pids: tuple[int, ...] = ()

    def started(self, event: TrainingStarted) -> None:
        """A group is there."""
        self.pids = event.worker_pids

    def stepped(self, rows: tuple[StepMetrics, ...]) -> None:
        """Rows came; kill if it is time."""
        self.rows += rows
        if len(self.back_at) < len(self.killed_at) < rows[0].attempt:
            self.back_at.append(rows[0].time_unix - rows[0].step_s)
        number = len(self.killed_at)
        if number < min(len(self.kill_at), rows[-1].attempt) and rows[-1].step >= self.kill_at[number]:
            self.killed_at.append(time.time())
            os.kill(self.pids[-1], signal.SIGKILL)


def main() -> None:
    """Train, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="account-") as folder:
        found = asyncio.run(_measure(Path(folder), options.steps, options.kills))
    text = json.dumps({"machine": describe(), **found}, indent=1)
    print(text)
    if options.out:
        (options.out / "training_account.json").write_text(f"{text}\n")
    if not found["within_bar"]:
        raise SystemExit(1)


async def _measure(root: Path, steps: int, kills: int) -> dict[str, object]:
    job = _job(root, steps)
    watch = Watch([steps * (number + 1) // (kills + 1) for number in range(kills)])
    began, clock = time.time(), time.monotonic()
    goodput = Goodput(began=began)
    story = Story(run_id="r", epoch=1, recipe=job.recipe, past=Past(), goodput=goodput)

    async def on_report(report: TrainingReport) -> None:
        for event, _ in [] if isinstance(report, CpuUsed) else told_by(story, report):
            if isinstance(event, TrainingStarted):
                watch.started(event)
            elif isinstance(event, StepMetricsBatch):
                watch.stepped(event.rows)

    finished = await run_child(entry.train, job, on_report, lambda _: None)
    wall_s = time.monotonic() - clock
    return _verdict(goodput.ended(time.time(), finished.spent), wall_s, watch, steps)


def _verdict(account: TimeAccount, wall_s: float, watch: Watch, steps: int) -> dict[str, object]:
    parts = {name: value for name, value in account.model_dump().items() if name.endswith("_s") and name != "wall_s"}
    off = sum(parts.values()) / wall_s - 1
    restarts = [back - killed for killed, back in zip(watch.killed_at, watch.back_at, strict=True)]
    last = {}
    for row in watch.rows:
        last[row.step] = row
    missing = sorted(set(range(steps)) - last.keys())
    return {
        "wall_s": round(wall_s, 2),
        "account": {name: round(value, 3) for name, value in account.model_dump().items()},
        "productive_percent": round(100 * account.step_s / wall_s, 1),
        "off_percent": round(100 * off, 3),
        "kills": len(watch.killed_at),
        "restart_s_by_a_watch_outside": round(sum(restarts), 2),
        "steps_without_a_row": missing,
        "within_bar": abs(off) <= 0.01 and not missing,
    }


def _job(root: Path, steps: int) -> TrainingJob:
    recipe = complete(Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="nano", num_workers=2))
    plan = recipe.derived.model_copy(update={"total_steps": steps, "checkpoint_every": 25})
    random_dataset(root, plan)
    objects = LocalObjects(root / "objects")
    (root / "tokenizer").mkdir()
    (root / "tokenizer" / "tokenizer.json").write_text("{}")
    objects.publish(root / "tokenizer", "tokenizers/t", {})
    (root / "scratch").mkdir()
    return TrainingJob(
        run_id="r",
        epoch=1,
        first_attempt=1,
        announced=frozenset(),
        recipe=recipe.model_copy(update={"plan": plan}),
        dataset_uri="datasets/bench",
        dataset_version="bench",
        tokenizer_uri="tokenizers/t",
        store=StoreAddress(url=objects.root.as_uri()),
        scratch=root / "scratch",
        matrix_lr=plan.matrix_lr,
        adam_lr=plan.adam_lr,
        stop_file=root / "stop",
        stall_s=120,
        cluster=ClusterSpec(address="", num_cpus=2, temporary=Path("/tmp/rw-account")),
    )


if __name__ == "__main__":
    main()
