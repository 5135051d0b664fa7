"""How fast a size of the dial trains: steps per minute of run_worker on local gloo ranks, as JSON.

    python benchmarks/train_step.py --size nano --workers 2 --steps 60
    python benchmarks/train_step.py --size nano --workers 2 --seconds 180 --stdlib      # and how well it learns

Without --stdlib the tokens are random. With it, a tokenizer is trained on the standard library of this Python, one
file in thirty is held out, and the bits per byte on a sample of the held-out files are measured at the end.
"""

import argparse
import json
import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path
from statistics import median

from machine import describe
from parts.training_data import random_dataset, stdlib_dataset

from ropewalk.events.training import StepMetrics, StepSkipped
from ropewalk.recipes.builtin import python_stdlib
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Plan, Recipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import Finished, StepsDone, WorkerJob


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="nano")
    parser.add_argument("--strategy", default="fsdp")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0, help="set the steps from a first short run")
    parser.add_argument("--stdlib", action="store_true")
    parser.add_argument("--plan", default="{}", help="JSON of plan fields to change")
    options = parser.parse_args()
    recipe = complete(python_stdlib().model_copy(update={"size": options.size, "strategy": options.strategy}))
    plan = recipe.derived.model_copy(update=json.loads(options.plan))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        held_out = stdlib_dataset(root, plan)[1] if options.stdlib else []
        if not options.stdlib:
            random_dataset(root, plan)
        steps = options.steps
        if options.seconds:
            steps = round(options.seconds / _measure(root, recipe, _shortened(plan, 60), options.workers)["step_s"])
        result = _measure(root, recipe, _shortened(plan, steps), options.workers)
        if held_out:
            result["bits_per_byte"] = _bits_per_byte(root, plan, steps, held_out)
    print(
        json.dumps(
            {
                "machine": describe(),
                "size": options.size,
                "strategy": options.strategy,
                "workers": options.workers,
                **result,
            }
        )
    )


def _shortened(plan: Plan, steps: int) -> Plan:
    changes = {
        "total_steps": steps,
        "warmup_steps": min(plan.warmup_steps, max(1, steps // 10)),
        "decay_start": steps * 6 // 10,
        "checkpoint_every": max(5, steps // 30),
    }
    return plan.model_copy(update=changes)


def _measure(root: Path, recipe: Recipe, plan: Plan, workers: int) -> dict[str, float]:
    job = WorkerJob(
        run_id=f"bench-{plan.total_steps}",
        epoch=1,
        attempt=1,
        recipe=recipe.model_copy(update={"plan": plan}),
        dataset=root / "objects" / "datasets" / "bench",
        dataset_version="bench",
        tokenizer=root,
        store=StoreAddress(url=(root / "objects").as_uri()),
        scratch=root / "scratch",
        matrix_lr=plan.matrix_lr,
        adam_lr=plan.adam_lr,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    reports = spawn.SimpleQueue()
    ranks = [spawn.Process(target=_rank, args=(job, rank, workers, port, reports)) for rank in range(workers)]
    for process in ranks:
        process.start()
    rows: list[StepMetrics] = []
    finished: Finished | None = None
    num_skipped = 0
    while finished is None:
        match reports.get():
            case StepsDone(rows=more):
                rows += more
            case StepSkipped():
                num_skipped += 1
            case Finished() as found:
                finished = found
    for process in ranks:
        process.join()
    warm = rows[min(10, len(rows) // 2) :]
    step_s = median(row.step_s for row in warm)
    wall_s = (rows[-1].time_unix - warm[0].time_unix) / max(1, len(warm) - 1)
    blocked = [row.checkpoint_s for row in warm if row.checkpoint_s > 1e-3]
    return {
        "steps": plan.total_steps,
        "step_s": round(step_s, 4),
        "wall_step_s": round(wall_s, 4),
        "steps_per_minute": round(60 / wall_s),
        "blocked_ms_per_checkpoint": round(1000 * median(blocked), 1) if blocked else 0.0,
        "num_skipped": num_skipped,
        "train_seconds": round(finished.seconds, 1),
        "loss": round(finished.loss, 4),
    }


def _rank(job: WorkerJob, rank: int, workers: int, port: int, reports: "multiprocessing.SimpleQueue[object]") -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(workers),
        "DS_ACCELERATOR": "cpu",
    }
    from ropewalk.trainer.adapters.worker.loop import run_worker

    run_worker(job, rank, workers, reports.put)


def _bits_per_byte(root: Path, plan: Plan, steps: int, held_out: list[str]) -> float:
    from tokenizers import Tokenizer

    from ropewalk.model.nll import ScoredTokens, bits_per_byte, score_documents
    from ropewalk.model.weights import load_model

    started = time.monotonic()
    tokenizer = Tokenizer.from_file(str(root / "tokenizer.json"))
    model = load_model(root / "objects" / "runs" / f"bench-{steps}" / "checkpoints" / f"1-{steps}")
    documents = [ScoredTokens(tokens=tokenizer.encode(text).ids, num_bytes=len(text.encode())) for text in held_out]
    scores = score_documents(model, documents, context_length=plan.context_length, start_id=0)
    total = sum(score.num_bytes for score in scores)
    print(json.dumps({"scored_files": len(scores), "bytes": total, "score_s": round(time.monotonic() - started, 1)}))
    return round(bits_per_byte(scores), 4)


if __name__ == "__main__":
    main()
