"""What reading every checkpoint beside a training costs the training, and how many of them get a loss.

    python benchmarks/evaluation/validation_cost.py [--steps 250] [--pairs 3] [--size nano] [--out FOLDER]

Two ranks under Ray on this machine, as in the service, without a bus: the same training in turns with nobody beside it
and with the evaluator's process reading its checkpoints at the lowest priority, the newest first where it lags, and
when it has ended those that were left out. Step seconds are those of the second half, of which both have the same
number; CPU-seconds are the workers' own. On a machine of two cores both ranks are busy, so the reader lives on what
they leave over. Prints JSON.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from machine import describe
from parts.training_data import stdlib_dataset

from ropewalk.corpus.document import DEV_ITEMS, EVAL_ITEMS, write_records
from ropewalk.evaluator.adapters.dev_loss import DevOrder
from ropewalk.evaluator.adapters.side_process import SideProcess
from ropewalk.evaluator.domain.dev import is_read_beside, tokens_to_read
from ropewalk.events.training import StepMetrics
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.stages.child import run_child
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters import entry
from ropewalk.trainer.adapters.reports import ClusterSpec, CpuUsed, FromWorkers, TrainingJob, TrainingReport
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, StepsDone

_CHECKPOINTS = 10
_DEV_FILES = 64
_WITHIN_S = 300.0
_NICENESS = 19


@dataclass
class Seen:
    """Of one training."""

    rows: list[StepMetrics] = field(default_factory=list)
    cpu_s: float = 0.0
    written: dict[str, int] = field(default_factory=dict)  # steps of checkpoints by their keys, oldest first
    losses: dict[str, float] = field(default_factory=dict)  # by key
    num_beside: int = 0  # of the losses, when training ended
    rest_s: float = 0.0  # until the others were there
    reader_cpu_s: float = 0.0  # when training ended
    read_cpu_s: list[float] = field(default_factory=list)  # of each checkpoint; the first with what begins the process

    def step_s(self) -> float:
        """Seconds of a step, all that belongs to it, over the second half."""
        rows = self.rows[len(self.rows) // 2 :]
        return sum(row.step_s + row.checkpoint_s + row.evaluate_s + row.other_s for row in rows) / len(rows)


def main() -> None:
    """Train in turns, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--size", default="nano")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="validation-") as folder:
        plan = _ground(Path(folder), options.steps, options.size)
        pairs = [
            [asyncio.run(_train(Path(folder), plan, f"{number}-{beside}", beside=beside)) for beside in (False, True)]
            for number in range(options.pairs)
        ]
    text = json.dumps({"machine": describe(), **_compared(plan, pairs)}, indent=1)
    print(text)
    if options.out:
        (options.out / "evaluation_validation_cost.json").write_text(f"{text}\n")


def _compared(plan: Plan, pairs: list[list[Seen]]) -> dict[str, object]:
    walls = [100 * (beside.step_s() / alone.step_s() - 1) for alone, beside in pairs]
    cpus = [100 * (beside.cpu_s / alone.cpu_s - 1) for alone, beside in pairs]
    with_reader = [beside for _, beside in pairs]
    return {
        "steps": plan.total_steps,
        "tokens_read_of_a_checkpoint": tokens_to_read(plan),
        "step_ms": {
            "alone": [round(1000 * alone.step_s(), 2) for alone, _ in pairs],
            "beside": [round(1000 * beside.step_s(), 2) for _, beside in pairs],
        },
        "more_step_seconds_percent": {"median": round(median(walls), 2), "each": [round(each, 2) for each in walls]},
        "more_worker_cpu_percent": {"median": round(median(cpus), 2), "each": [round(each, 2) for each in cpus]},
        "checkpoints": sum(len(each.written) for each in with_reader),
        "due_beside": sum(is_read_beside(plan, step) for each in with_reader for step in each.written.values()),
        "with_a_loss_when_training_ended": sum(each.num_beside for each in with_reader),
        "with_a_loss_soon_after": sum(len(each.losses) for each in with_reader),
        "soon_after_s": [round(each.rest_s, 2) for each in with_reader],
        "reader_cpu_s_of_a_checkpoint": round(median(s for each in with_reader for s in each.read_cpu_s[1:]), 3),
        "reader_cpu_s_of_a_training": [round(each.reader_cpu_s, 2) for each in with_reader],
        "worker_cpu_s_of_a_training": [round(each.cpu_s, 1) for each in with_reader],
        "within_bar": median(walls) <= 1.0,
    }


async def _train(root: Path, plan: Plan, name: str, *, beside: bool) -> Seen:
    job, seen, process = _job(root, plan, name), Seen(), SideProcess(_NICENESS)
    if beside:
        await process.begun()  # as when the dataset is there
    news = asyncio.Event()

    async def on_report(report: TrainingReport) -> None:
        match report:
            case FromWorkers(_, StepsDone(rows=rows)):
                seen.rows += rows
            case FromWorkers(_, CheckpointWritten(saved=saved)):
                seen.written[saved.uri] = saved.step
                news.set()
            case CpuUsed(seconds):
                seen.cpu_s += seconds

    following = asyncio.create_task(_follow(root, plan, seen, process, news)) if beside else None
    await run_child(entry.train, job, on_report, lambda _: None)
    if following is not None:
        seen.num_beside, seen.reader_cpu_s, ended = len(seen.losses), _reader_cpu_s(), time.monotonic()
        following.cancel()
        await asyncio.wait([following])
        await _catch_up(root, plan, seen, process)
        seen.rest_s = time.monotonic() - ended
    await process.close()
    return seen


def _reader_cpu_s() -> float:
    """Of the process that stands back from all others."""
    readers = [each for each in psutil.Process().children(recursive=True) if each.nice() == _NICENESS]
    return sum(sum(each.cpu_times()[:2]) for each in readers)


async def _follow(root: Path, plan: Plan, seen: Seen, process: SideProcess, news: asyncio.Event) -> None:
    while True:
        await news.wait()
        news.clear()
        due = [key for key, step in seen.written.items() if is_read_beside(plan, step)]
        if due and due[-1] not in seen.losses:
            await _read(root, plan, seen, process, due[-1])


async def _catch_up(root: Path, plan: Plan, seen: Seen, process: SideProcess) -> None:
    for key in seen.written:
        if key not in seen.losses:
            await _read(root, plan, seen, process, key)


async def _read(root: Path, plan: Plan, seen: Seen, process: SideProcess, key: str) -> None:
    order = DevOrder(
        checkpoint=LocalObjects(root / "objects").fetch(key),
        tokenizer=root / "tokenizer",
        evalset=root / "evalset",
        num_tokens=tokens_to_read(plan),
    )
    before = _reader_cpu_s()
    found = await process.read(order, _WITHIN_S)
    if found is not None:
        seen.losses[key] = found.per_token
        seen.read_cpu_s.append(_reader_cpu_s() - before)


def _ground(root: Path, steps: int, size: str) -> Plan:
    """The plan, and a dataset, a tokenizer and dev files in the folder."""
    from transformers import PreTrainedTokenizerFast

    recipe = complete(Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size=size, num_workers=2))
    changes = {"total_steps": steps, "checkpoint_every": steps // _CHECKPOINTS, "validate_every": 0}
    plan = recipe.derived.model_copy(update=changes)
    _, held_out = stdlib_dataset(root, plan)
    fast = PreTrainedTokenizerFast(tokenizer_file=str(root / "tokenizer.json"), eos_token="<|endoftext|>")
    fast.save_pretrained(root / "tokenizer")
    (root / "sealed").mkdir()
    (root / "sealed" / "tokenizer.json").write_text((root / "tokenizer.json").read_text())
    LocalObjects(root / "objects").publish(root / "sealed", "tokenizers/t", {})
    (root / "evalset").mkdir()
    items = [{"item_id": f"{n:03}", "path": f"{n}.py", "text": text} for n, text in enumerate(held_out[:_DEV_FILES])]
    for name in (EVAL_ITEMS, DEV_ITEMS):
        write_records(root / "evalset" / name, items)
    return plan


def _job(root: Path, plan: Plan, name: str) -> TrainingJob:
    recipe = Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="nano", num_workers=2, plan=plan)
    scratch = root / f"scratch-{name}"
    scratch.mkdir()
    return TrainingJob(
        run_id=f"r{name.lower()}",
        epoch=1,
        first_attempt=1,
        announced=frozenset(),
        recipe=recipe,
        dataset_uri="datasets/bench",
        dataset_version="bench",
        tokenizer_uri="tokenizers/t",
        store=StoreAddress(url=(root / "objects").as_uri()),
        scratch=scratch,
        matrix_lr=plan.matrix_lr,
        adam_lr=plan.adam_lr,
        stop_file=scratch / "stop",
        stall_s=120,
        cluster=ClusterSpec(address="", num_cpus=2, temporary=Path("/tmp/rw-validation")),
    )


if __name__ == "__main__":
    main()
