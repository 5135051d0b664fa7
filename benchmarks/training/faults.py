"""What a bad number costs a training: weights that go bad, and batches that give bad losses.

    python benchmarks/training/faults.py --out benchmarks/results/training_faults.json

Real gloo processes below Ray at the size tiny, the standard library as text. This script strikes, from outside of the
product: one weight of rank 0 becomes NaN, infinite or 1e4 after an update, once; or one batch gives a loss that is
NaN or 50 times too large, whenever it is read. Told are how many steps later that was seen, what was done, the final
loss against the clean run's (mean of 20 steps), whether the weights are equal in every bit, and how many checkpoints
hold a bad number. The clean runs also tell how many healthy updates were left out.

Last, one sample ends every process that learns from it, by a signal: see `parts.poisoned`.
"""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.poisoned import Poisoned, train_poisoned
from parts.ranks import on_ranks
from parts.short_training import plan_of
from parts.training_data import stdlib_dataset

from ropewalk.events.training import StepSkipped, TrainingRolledBack
from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, WorkerJob

_WEIGHTS = {"nan": float("nan"), "inf": float("inf"), "1e4": 1e4}
_BATCHES = {"nan batch": float("nan"), "spike": 50.0}
_SIGNALS = (signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT)
_STEPS, _EVERY, _STRIKE = 150, 25, 80
_LARGEST_HEALTHY = 100.0


def main() -> None:
    """Run everything and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--worlds", default="1,2")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, poison = [], []
    with tempfile.TemporaryDirectory(prefix="ropewalk-faults-") as name:
        root, plan = Path(name), _plan()
        stdlib_dataset(root, plan)
        for world, strategy in product(map(int, options.worlds.split(",")), ("ddp", "fsdp")):
            if (world, strategy) != (1, "fsdp"):  # the same as ddp there
                jobs = _jobs(root, plan, world, strategy, range(1, options.seeds + 1))
                rows += _judged(root, on_ranks(_run, world, jobs), world, strategy)
                clean = [job for fault, job in jobs if fault == "none"]
                poison += [_poisoned(root, job, rows) for job in clean]
    struck = [row for row in rows if row["fault"] != "none"]
    result = {
        "machine": describe(),
        "num_struck": len(struck),
        "most_steps_until_seen": max(row["steps_until_seen"] for row in struck),
        "largest_loss_difference": max(row["loss_difference"] for row in struck),
        "num_bad_checkpoints": sum(row["num_bad_checkpoints"] for row in rows),
        "healthy_updates_left_out": sum(row["num_left_out"] for row in rows if row["fault"] == "none"),
        "num_poisoned": len(poison),
        "most_restarts_until_named": max(row["restarts_until_named"] for row in poison),
        "num_wrongly_named": sum(not row["rightly_named"] for row in poison),
        "largest_loss_difference_poisoned": max(row["loss_difference"] for row in poison),
        "rows": rows,
        "poison": poison,
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _plan() -> Plan:
    changes = {"total_steps": _STEPS, "decay_start": _STEPS * 6 // 10, "checkpoint_every": _EVERY}
    return plan_of("tiny", **changes)


def _jobs(root: Path, plan: Plan, world: int, strategy: str, seeds: range) -> list[tuple[str, WorkerJob]]:
    jobs = []
    for seed, (number, fault) in product(seeds, enumerate(("none", *_WEIGHTS, *_BATCHES))):
        source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
        job = WorkerJob(
            run_id=f"{strategy}-{world}-{seed}-{number}",
            epoch=1,
            attempt=1,
            recipe=Recipe(sources=(source,), plan=plan, seed=seed, strategy=strategy, num_workers=world),
            dataset=root / "objects" / "datasets" / "bench",
            dataset_version="bench",
            tokenizer=root,
            store=StoreAddress(url=(root / "objects").as_uri()),
            scratch=root / "scratch",
            matrix_lr=plan.matrix_lr,
            adam_lr=plan.adam_lr,
        )
        jobs.append((fault, replace(job)))
    return jobs


def _run(rank: int, world_size: int, jobs: list[tuple[str, WorkerJob]]) -> list[dict[str, Any]]:
    """Every job with its fault; what rank 0 saw."""
    from ropewalk.trainer.adapters.worker.loop import run_worker

    found = []
    for fault, job in jobs:
        reports: list[Any] = []
        with _Striking(fault, rank):
            run_worker(job, rank, world_size, reports.append)
        found.append(_seen(fault, job, reports) if rank == 0 else {})
    return found


class _Striking:
    """While it is entered, a step of the loop meets the fault."""

    def __init__(self, fault: str, rank: int) -> None:
        from ropewalk.model.next_token import NextTokenLoss
        from ropewalk.trainer.adapters.worker.loop import _Training
        from ropewalk.trainer.adapters.worker.muon_steps import MuonSteps

        self._fault, self._rank, self._step, self._struck = fault, rank, -1, False
        self._places = ((_Training, "_take_step"), (NextTokenLoss, "forward"), (MuonSteps, "apply"))
        self._kept = [getattr(*place) for place in self._places]

    def __enter__(self) -> None:
        take_step, forward, apply = self._kept

        def noted(training: Any, step: int) -> None:
            self._step = step
            take_step(training, step)

        def spoilt(loss: Any, inputs: Any, targets: Any) -> Any:
            return forward(loss, inputs, targets) * (_BATCHES.get(self._fault, 1.0) if self._step == _STRIKE else 1.0)

        def struck(strategy: Any, **given: Any) -> None:
            apply(strategy, **given)
            if self._fault in _WEIGHTS and self._step == _STRIKE and not self._struck and self._rank == 0:
                self._struck = True
                _spoil(strategy, _WEIGHTS[self._fault])

        for place, new in zip(self._places, (noted, spoilt, struck), strict=True):
            setattr(*place, new)

    def __exit__(self, *_: object) -> None:
        for place, old in zip(self._places, self._kept, strict=True):
            setattr(*place, old)


def _spoil(strategy: Any, value: float) -> None:
    import torch

    from ropewalk.model.sharding import local_part

    with torch.no_grad():
        local_part(strategy._bare.model.layers[0].mlp.up_proj.weight).view(-1)[7] = value


def _seen(fault: str, job: WorkerJob, reports: list[Any]) -> dict[str, Any]:
    signs = [report for report in reports if isinstance(report, StepSkipped | TrainingRolledBack)]
    after = _STRIKE + (fault in _WEIGHTS)  # a weight is struck after the update: the next step is the first to meet it
    finished = next(report for report in reports if isinstance(report, Finished))
    return {
        "fault": fault,
        "seed": job.recipe.seed,
        "run_id": job.run_id,
        "loss": finished.loss,
        "steps_until_seen": min((sign.step for sign in signs), default=_STEPS) - after if fault != "none" else 0,
        "num_left_out": sum(isinstance(sign, StepSkipped) for sign in signs),
        "back_to": [sign.resume_step for sign in signs if isinstance(sign, TrainingRolledBack)],
        "saved": [report.saved.uri for report in reports if isinstance(report, CheckpointWritten)],
    }


def _poisoned(root: Path, job: WorkerJob, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The clean job again with a deadly sample, against the last clean run of its seed."""
    from safetensors.torch import load_file

    from ropewalk.model.weights import largest

    recipe = job.recipe
    found: Poisoned = train_poisoned(root, job, _STRIKE, _SIGNALS[recipe.seed % len(_SIGNALS)])
    base = next(row for row in reversed(rows) if (row["fault"], row["seed"]) == ("none", recipe.seed))
    weights = [load_file(root / "objects" / uri / "model.safetensors") for uri in found.saved]
    return {
        "signal": found.signal.name,
        "seed": recipe.seed,
        "world": recipe.num_workers,
        "strategy": recipe.strategy,
        "causes": found.causes,
        "restarts_until_named": found.restarts_until_named,
        "rightly_named": found.named == (found.sample,),
        "loss": found.loss,
        "loss_difference": abs(found.loss / base["loss"] - 1.0),
        "ledger_is_whole": found.ledger.ok,
        "num_left_out": found.ledger.num_left_out,
        "num_bad_checkpoints": sum(bool(largest(each, _LARGEST_HEALTHY)[1]) for each in weights),
    }


def _judged(root: Path, found: list[dict[str, Any]], world: int, strategy: str) -> list[dict[str, Any]]:
    """Against the clean run of the same seed."""
    from safetensors.torch import load_file

    from ropewalk.model.weights import largest

    clean = {row["seed"]: row for row in found if row["fault"] == "none"}
    ends = {row["run_id"]: load_file(root / "objects" / row["saved"][-1] / "model.safetensors") for row in found}
    rows = []
    for row in found:
        base = clean[row["seed"]]
        weights = [load_file(root / "objects" / uri / "model.safetensors") for uri in row["saved"]]
        one, other = ends[row["run_id"]], ends[base["run_id"]]
        rows.append(
            {name: value for name, value in row.items() if name not in ("saved", "run_id")}
            | {
                "world": world,
                "strategy": strategy,
                "loss_difference": abs(row["loss"] / base["loss"] - 1.0),
                "bits_equal": all(one[name].equal(other[name]) for name in other),
                "num_checkpoints": len(weights),
                "num_bad_checkpoints": sum(bool(largest(each, _LARGEST_HEALTHY)[1]) for each in weights),
            }
        )
    return rows


if __name__ == "__main__":
    main()
