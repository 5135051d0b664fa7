"""Short trainings of one rank in this process, below Ray: losses of every step and the CPU seconds they took."""

import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import StepLoss, WorkerJob, WorkerReport

_SOURCE = SourceRecipe(path="/nowhere", licence="CC0-1.0")


def plan_of(size: str, **changes: object) -> Plan:
    """The dial's plan of a size with changed fields; the heads follow a changed width."""
    plan = complete(Recipe(sources=(_SOURCE,), size=size)).derived
    if "hidden_size" in changes:
        width = int(str(changes["hidden_size"]))
        heads = max(1, width // plan.head_dim)
        shape = {"num_heads": heads, "num_kv_heads": max(1, heads // 2), "intermediate_size": 3 * width}
        changes = {**shape, **changes}
    return plan.model_copy(update=changes)


@dataclass
class Trained:
    """What one short training showed. `cpu_s` is of whole steps, without the first few."""

    losses: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def __call__(self, report: WorkerReport) -> None:
        if isinstance(report, StepLoss):
            self.losses.append(report.loss)
            self.ends.append(time.process_time())

    def step_cpu_s(self, warm: int = 2) -> float:
        """CPU seconds of a step, without the first `warm`."""
        return (self.ends[-1] - self.ends[warm - 1]) / (len(self.ends) - warm)


@dataclass(frozen=True)
class Ground:
    """A folder with datasets, one for each vocabulary and context."""

    root: Path

    def train(self, plan: Plan, steps: int, *, factor: float = 1.0, seed: int = 17, stdlib: bool = True) -> Trained:
        """Train `steps` steps with the plan's schedule compressed to them, rates times `factor`."""
        from ropewalk.trainer.adapters.worker.loop import run_worker

        os.environ["OMP_NUM_THREADS"] = "1"
        root = self._data(plan, stdlib)
        recipe = Recipe(sources=(_SOURCE,), plan=plan, seed=seed, strategy="ddp", num_workers=1)
        job = WorkerJob(
            run_id=_name(plan, factor, seed),
            epoch=1,
            attempt=1,
            recipe=recipe,
            dataset=root / "objects" / "datasets" / "bench",
            dataset_version="bench",
            tokenizer=root,
            store=StoreAddress(url=(self.root / "objects").as_uri()),
            scratch=self.root / "scratch",
            matrix_lr=plan.matrix_lr * factor,
            adam_lr=plan.adam_lr * factor,
        )
        watch = Trained()
        run_worker(replace(job, stop_after_steps=steps), 0, 1, watch)
        return watch

    def _data(self, plan: Plan, stdlib: bool) -> Path:
        from parts.training_data import random_dataset, stdlib_dataset

        root = self.root / f"{plan.context_length}-{plan.vocab_size}-{'stdlib' if stdlib else 'random'}"
        if not root.exists():
            root.mkdir(parents=True)
            stdlib_dataset(root, plan) if stdlib else random_dataset(root, plan)
        return root


def ground() -> "tempfile.TemporaryDirectory[str]":
    """A folder that goes when the benchmark ends."""
    return tempfile.TemporaryDirectory(prefix="ropewalk-bench-")


def _name(plan: Plan, factor: float, seed: int) -> str:
    told: dict[str, Any] = {**plan.model_dump(mode="json"), "factor": factor, "seed": seed}
    return "short-" + hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def text_of(root: Path, plan: Plan) -> dict[str, float]:
    """Of the training text of a plan's vocabulary: bytes a token, and the entropy of single tokens in nats."""
    import numpy as np
    from parts.training_data import stdlib_texts

    from ropewalk.corpus.shards import TOKENS, token_dtype

    folder = root / f"{plan.context_length}-{plan.vocab_size}-stdlib" / "objects" / "datasets" / "bench"
    tokens = np.fromfile(folder / TOKENS, dtype=token_dtype(plan.vocab_size))
    share = np.bincount(tokens) / len(tokens)
    share = share[share > 0]
    num_bytes = sum(len(text.encode()) for text in stdlib_texts()[0])
    return {
        "num_tokens": len(tokens),
        "bytes_per_token": round(num_bytes / len(tokens), 4),
        "unigram_nats": round(float(-(share * np.log(share)).sum()), 4),
    }
