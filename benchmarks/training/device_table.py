"""What one CPU core of this machine trains: CPU seconds of a step by size, the figures of `recipes/device_table.py`.

    python benchmarks/training/device_table.py [--base FOLDER]

With a base model: of its fine-tuning instead, on windows full of short conversations; else in fp32 on random tokens.
One rank, one thread, the worker's own loop, no checkpoints. Larger sizes take a smaller batch:
the time of a token hardly depends on it, that of the optimizer does, and is told apart by two batches.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.finetune_loops import Peer, Task, publish_conversations, train
from parts.short_training import Ground, ground, plan_of

from ropewalk.recipes.bases import sized
from ropewalk.recipes.dial import complete
from ropewalk.recipes.model_shape import work_of
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.recipes.training import Adapter

_CASES = (("tiny", 4, 40), ("tiny", 16, 20), ("nano", 4, 20), ("nano", 1, 20), ("micro", 4, 5), ("small", 1, 3))

# adapter, precision, loop, windows of 512 tokens
_TUNINGS: tuple[tuple[Adapter, str, Peer, int], ...] = (
    ("lora", "fp32", "ropewalk", 1),
    ("lora", "bf16", "ropewalk", 1),
    ("lora", "bf16", "ropewalk", 2),
    ("dora", "bf16", "ropewalk", 1),
    ("full", "bf16", "ropewalk", 1),
    ("full", "fp32", "ropewalk_muon", 1),
)
_TUNING_STEPS = 4  # the first is not counted


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="a Hugging Face folder with a chat template")
    parser.add_argument("--adapter", nargs="+", default=["lora", "dora", "full"])
    options = parser.parse_args()
    rows = _tunings(options.base, options.adapter) if options.base else _trainings()
    print(json.dumps({"machine": describe(), "rows": rows}))


def _trainings() -> list[dict[str, Any]]:
    rows = []
    with ground() as root:
        for size, batch, steps in _CASES:
            plan = plan_of(size, batch_size=batch)
            step_s = Ground(Path(root)).train(plan, steps, stdlib=False).step_cpu_s()
            tokens = batch * plan.context_length
            rows.append({"size": size, "tokens_a_step": tokens, "step_cpu_s": round(step_s, 5)})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _tunings(base: Path, adapters: list[str]) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="ropewalk-table-") as name:
        publish_conversations(Path(name), base, 512, 600)
        for adapter, precision, loop, windows in (each for each in _TUNINGS if each[0] in adapters):
            fields: dict[str, Any] = {"context_length": 512, "batch_size": windows, "lora_rank": 16}
            fields |= {"total_steps": _TUNING_STEPS, "optimizer": "adamw" if loop == "ropewalk" else "muon"}
            if adapter == "full":
                del fields["lora_rank"]
            given = {
                "mode": "finetune",
                "base_model": str(base),
                "adapter": adapter,
                "precision": precision,
                "num_workers": 1,
            }
            source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
            recipe = sized(complete(Recipe.model_validate({"sources": [source], "training": fields, **given})))
            task = Task(root=Path(name), base=base, plan=recipe.derived, adapter=adapter, at_once=0)
            moments: list[float] = []
            train(loop, task, partial(_tick, moments))
            step_s = statistics.median(after - before for before, after in pairwise(moments))
            rows.append(
                {**given, **fields, "flops_per_token": work_of(recipe).flops_per_token} | {"step_cpu_s": step_s}
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _tick(moments: list[float], _: int) -> None:
    moments.append(time.process_time())


if __name__ == "__main__":
    main()
