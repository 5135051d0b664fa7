"""Whether a run goes on under another strategy and on another number of ranks as if nothing had changed.

    python benchmarks/training/elastic.py --out benchmarks/results/training_elastic.json

Every pair of {1, 2, 3 ranks} x {ddp, fsdp, ZeRO-1, 2, 3}: the second continues the first's checkpoint for 50 steps and
is compared with the first, uninterrupted. Real gloo processes below Ray at the size tiny. Told are whether weights and
optimizer state are equal in every bit after loading, whether the same samples were read in the same order, and the
worst relative difference of a step's loss.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.ranks import on_ranks
from parts.short_training import plan_of
from parts.training_data import random_dataset

from ropewalk.corpus.order import SampleOrder
from ropewalk.events.training import StepMetrics
from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import StepsDone, WorkerJob, WorkerReport

_STRATEGIES = ("ddp", "fsdp", "zero1", "zero2", "zero3")
_WORLDS = (1, 2, 3)
_BEFORE, _AFTER = 10, 50  # steps
_WINDOWS = 400
_Side = tuple[int, str]


def main() -> None:
    """Run all pairs and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sides = list(product(_WORLDS, _STRATEGIES))
    with tempfile.TemporaryDirectory(prefix="ropewalk-elastic-") as name:
        root = Path(name)
        plan = _plan()
        random_dataset(root, plan, _WINDOWS)
        whole: dict[_Side, dict[int, float]] = {}
        for world in _WORLDS:
            jobs = [_job(root, plan, (world, strategy)) for strategy in _STRATEGIES]
            found = on_ranks(_run, world, jobs)
            whole |= {(world, strategy): each["losses"] for strategy, each in zip(_STRATEGIES, found, strict=True)}
        pairs = []
        for world in _WORLDS:
            tried = [(before, (world, after)) for before in sides for after in _STRATEGIES if before != (world, after)]
            found = on_ranks(_run, world, [_continued(root, plan, *pair) for pair in tried])
            pairs += [_judged(root, plan, pair, whole, each) for pair, each in zip(tried, found, strict=True)]
    worst = max(pairs, key=lambda pair: float(pair["difference"]))
    result = {
        "machine": describe(),
        "pairs": len(pairs),
        "steps_after": _AFTER,
        "equal_bits_at_load": sum(pair["equal_bits"] for pair in pairs),
        "same_order": sum(pair["same_order"] for pair in pairs),
        "worst_difference": worst["difference"],
        "worst_pair": [worst["before"], worst["after"]],
        "within_1e-5": sum(float(pair["difference"]) <= 1e-5 for pair in pairs),
        "rows": pairs,
    }
    text = json.dumps(result)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _plan() -> Plan:
    steps = _BEFORE + _AFTER
    return plan_of("tiny", total_steps=steps, warmup_steps=5, decay_start=36, checkpoint_every=_BEFORE)


def _job(root: Path, plan: Plan, side: _Side) -> WorkerJob:
    world, strategy = side
    source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
    return WorkerJob(
        run_id=f"{strategy}-{world}",
        epoch=1,
        attempt=1,
        recipe=Recipe.model_validate(
            {"sources": [source], "plan": plan, "strategy": strategy, "num_workers": world, "seed": 17}
        ),
        dataset=root / "objects" / "datasets" / "bench",
        dataset_version="bench",
        tokenizer=root,
        store=StoreAddress(url=(root / "objects").as_uri()),
        scratch=root / "scratch",
        matrix_lr=plan.matrix_lr,
        adam_lr=plan.adam_lr,
    )


def _continued(root: Path, plan: Plan, before: _Side, after: _Side) -> WorkerJob:
    saved = _checkpoint(root, _job(root, plan, before).run_id, 1, _BEFORE)
    epoch = 2 + list(product(_WORLDS, _STRATEGIES)).index(after)
    rarely = plan.model_copy(update={"checkpoint_every": 10 * _AFTER})
    job = _job(root, rarely, after)
    return replace(job, run_id=_job(root, plan, before).run_id, epoch=epoch, resume_from=saved)


def _checkpoint(root: Path, run_id: str, epoch: int, step: int) -> Path:
    return root / "objects" / "runs" / run_id / "checkpoints" / f"{epoch}-{step}"


def _run(rank: int, world_size: int, jobs: list[WorkerJob]) -> list[dict[str, Any]]:
    """All jobs one after the other on this group; what rank 0 saw."""
    from ropewalk.trainer.adapters.worker.loop import run_worker

    found = []
    for job in jobs:
        equal = job.resume_from is None or _loads_every_bit(job, rank)
        reports: list[WorkerReport] = []
        run_worker(job, rank, world_size, reports.append)
        rows: list[StepMetrics] = [row for each in reports if isinstance(each, StepsDone) for row in each.rows]
        found.append({"losses": {row.step: row.loss for row in rows}, "equal_bits": equal})
    return found


def _loads_every_bit(job: WorkerJob, rank: int) -> bool:
    """Whether what a group has right after loading is what the checkpoint holds."""
    from ropewalk.corpus.shards import TokenShard
    from ropewalk.trainer.adapters.worker.batches import Batches
    from ropewalk.trainer.adapters.worker.device import choose_device
    from ropewalk.trainer.adapters.worker.preparation import prepare

    shard, device = TokenShard(job.dataset), choose_device(job.recipe, rank)
    batches = Batches(shard, job, rank, job.recipe.num_workers, device)
    snapshot = prepare(job, shard, device, batches).strategy.snapshot()
    return rank != 0 or (job.resume_from is not None and _equal(snapshot, job.resume_from))


def _equal(snapshot: Any, folder: Path) -> bool:
    from ropewalk.model.weights import load_tensors

    for tensors, name in ((snapshot.weights, "model"), (snapshot.optimizer, "optimizer")):
        saved = load_tensors(folder / f"{name}.safetensors")
        if saved.keys() != tensors.keys() or not all(saved[key].equal(tensors[key]) for key in saved):
            return False
    return True


def _judged(
    root: Path, plan: Plan, pair: tuple[_Side, _Side], whole: dict[_Side, dict[int, float]], found: dict[str, Any]
) -> dict[str, Any]:
    before, after = pair
    wanted, got = whole[before], found["losses"]
    assert list(got) == list(range(_BEFORE, _BEFORE + _AFTER)), "steps are missing"
    job = _continued(root, plan, before, after)
    order = SampleOrder("bench", 17, _WINDOWS)
    last = _checkpoint(root, job.run_id, job.epoch, _BEFORE + _AFTER)
    rows = [json.loads(line) for line in (last / "ledger.jsonl").read_text().splitlines()]
    expected = [{"step": step, "samples": order.samples(step, plan.batch_size)} for step in got]
    return {
        "before": f"{before[1]} x {before[0]}",
        "after": f"{after[1]} x {after[0]}",
        "equal_bits": found["equal_bits"],
        "same_order": rows == expected,
        "difference": max(abs(got[step] - wanted[step]) / abs(wanted[step]) for step in got),
    }


if __name__ == "__main__":
    main()
