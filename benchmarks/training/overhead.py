"""What the training loop costs over a bare torch loop with the same model, optimizer and wrapper, in CPU seconds.

    python benchmarks/training/overhead.py --out benchmarks/results/training_overhead.json

Two ranks on gloo, below Ray, fp32, one thread each. In the same processes a few steps of the worker's loop alternate
with as many of the bare one, so that a busy machine meets both alike. The bare loop reads the next windows of an array,
calls forward and backward, clips by the norm, steps and asks for the loss; it has no order of samples, no guard, no
ledger, no metrics, no stop file. Neither saves. Told is the median of the paired ratios over all ranks, less one, with
a 95 % interval of that median.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from machine import describe
from parts.ranks import on_ranks
from parts.short_training import plan_of
from parts.training_data import random_dataset

from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import WorkerJob

_BLOCKS = {"tiny": (40, 20), "nano": (24, 4), "micro": (12, 1)}  # pairs, steps in each half
_STRATEGIES = ("single", "ddp", "fsdp")


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="nano,micro")
    parser.add_argument("--strategies", default=",".join(_STRATEGIES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for size in options.sizes.split(","):
        for strategy in options.strategies.split(","):
            with tempfile.TemporaryDirectory(prefix="ropewalk-overhead-") as name:
                plan = plan_of(size, total_steps=100_000, decay_start=60_000, checkpoint_every=100_000)
                random_dataset(Path(name), plan)
                ranks = 1 if strategy == "single" else 2
                pairs = on_ranks(_compare, ranks, _job(Path(name), plan, strategy, ranks), *_BLOCKS[size])
            rows.append({"size": size, "strategy": strategy, "ranks": ranks, **_told(pairs)})
            print(rows[-1], file=sys.stderr, flush=True)
    text = json.dumps({"machine": describe(), "bar": "< 0.02 for the default strategy", "rows": rows})
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _told(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ratios = np.array([ours / bare - 1 for ours, bare in pairs])
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return {
        "overhead": round(float(np.median(ratios)), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "bare_step_cpu_s": round(median(bare for _, bare in pairs), 5),
        "pairs": len(pairs),
    }


def _job(root: Path, plan: Plan, strategy: str, ranks: int) -> WorkerJob:
    source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
    named = "ddp" if strategy == "single" else strategy
    return WorkerJob(
        run_id="overhead",
        epoch=1,
        attempt=1,
        recipe=Recipe.model_validate({"sources": [source], "plan": plan, "strategy": named, "num_workers": ranks}),
        dataset=root / "objects" / "datasets" / "bench",
        dataset_version="bench",
        tokenizer=root,
        store=StoreAddress(url=(root / "objects").as_uri()),
        scratch=root / "scratch",
        matrix_lr=plan.matrix_lr,
        adam_lr=plan.adam_lr,
    )


def _compare(rank: int, world_size: int, job: WorkerJob, num_pairs: int, num_steps: int) -> list[tuple[float, float]]:
    """CPU seconds of a step of all ranks, ours and bare, by pair."""
    import torch
    import torch.distributed as dist

    ours, bare = _ours(rank, world_size, job), _Bare(rank, world_size, job)
    pairs: list[tuple[float, float]] = []
    for number in range(-2, num_pairs):  # the first two warm both up
        spent = torch.zeros(2, dtype=torch.float64)
        for half in (0, 1) if number % 2 else (1, 0):
            dist.barrier()
            began = time.process_time()
            for step in range((number + 2) * num_steps, (number + 3) * num_steps):
                (ours, bare)[half](step)
            spent[half] = time.process_time() - began
        dist.all_reduce(spent)
        if number >= 0:
            pairs.append((float(spent[0]) / num_steps, float(spent[1]) / num_steps))
    return pairs


def _ours(rank: int, world_size: int, job: WorkerJob) -> Callable[[int], None]:
    """One step of the worker's loop, all of it but for saves; what it reports leads nowhere."""
    from ropewalk.corpus.shards import TokenShard
    from ropewalk.trainer.adapters.worker.batches import Batches
    from ropewalk.trainer.adapters.worker.device import choose_device
    from ropewalk.trainer.adapters.worker.loop import _Kept, _Training
    from ropewalk.trainer.adapters.worker.notice import Notice
    from ropewalk.trainer.adapters.worker.preparation import prepare
    from ropewalk.trainer.adapters.worker.watched import watched_phases
    from ropewalk.trainer.domain.guard import StepGuard

    device, shard = choose_device(job.recipe, rank), TokenShard(job.dataset)
    device.begin()
    batches = Batches(shard, job, rank, world_size, device)
    prepared = prepare(job, shard, device, batches)
    phases = watched_phases(job, rank)
    kept = _Kept(shard, batches, device, StepGuard(), phases, lambda _: None, Notice())
    return _Training(job, prepared, kept)._take_step


class _Bare:
    """The bare loop, as a person would write it."""

    def __init__(self, rank: int, world_size: int, job: WorkerJob) -> None:
        import torch
        from torch.distributed.fsdp import fully_shard
        from torch.nn.parallel import DistributedDataParallel

        from ropewalk.model.architecture import Shape, build_model
        from ropewalk.model.muon import MuonAdamW, Rates
        from ropewalk.model.next_token import NextTokenLoss

        plan = job.recipe.derived
        shape = {name: getattr(plan, name) for name in Shape.__dataclass_fields__ if name != "eos_id"}
        model = build_model(Shape(**shape, eos_id=0), 17, torch.device("cpu"))
        self._loss: torch.nn.Module = NextTokenLoss(model.train())
        if world_size > 1 and job.recipe.strategy == "fsdp":
            for block in model.model.layers:
                fully_shard(block, reshard_after_forward=False)
            fully_shard(self._loss, reshard_after_forward=False)
        elif world_size > 1:
            self._loss = DistributedDataParallel(self._loss, gradient_as_bucket_view=True)
        rates = Rates(matrix_lr=job.matrix_lr, adam_lr=job.adam_lr, weight_decay=plan.weight_decay)
        self._optimizer = MuonAdamW(model.named_parameters(), rates)
        self._model, self._each, self._length = model, plan.batch_size // world_size, plan.context_length
        tokens = np.random.default_rng(rank).integers(0, plan.vocab_size, 400 * plan.context_length + 1)
        self._tokens, self._at = torch.from_numpy(tokens), 0

    def __call__(self, _: int) -> None:
        """Take a step."""
        import torch

        size = self._each * self._length
        if self._at + size + 1 > len(self._tokens):
            self._at = 0
        inputs = self._tokens[self._at : self._at + size].view(self._each, self._length)
        targets = self._tokens[self._at + 1 : self._at + size + 1].view(self._each, self._length)
        self._at += size
        loss = self._loss(inputs, targets) / size
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step(1.0)
        self._optimizer.zero_grad()
        loss.item()


if __name__ == "__main__":
    main()
