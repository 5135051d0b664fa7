"""kill -9 of fine-tuning workers at random instants: is the run afterwards the uninterrupted one, in every bit?

    for adapter in lora full dora; do
        python benchmarks/finetune/kills.py --adapter $adapter --out benchmarks/results/finetune_kills.json; done

An imported base of the size tiny that reads random answers behind random questions (a mask says which), with LoRA,
with all weights and with DoRA, on two ranks. The kills are aimed, and the runs compared, as
benchmarks/training/kills.py says; the files of the last checkpoint are the weights or the adapter, the optimizer and
the state, and
`undisturbed_sha256` is the digest of their hashes in the undisturbed run. What the record says of other adapters is
kept, so that each has a command of its own.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.killed_runs import kill_and_compare, sum_of
from parts.training_data import random_answers
from parts.under_fire import hosts_of, job_in, quiet

from ropewalk.recipes.bases import base_key
from ropewalk.recipes.recipe import Plan
from ropewalk.trainer.adapters.reports import TrainingJob

_STEPS, _EVERY = 60, 5
_RANKS = 2
_CONTENT = "c" * 64  # that the base is published as


def main() -> None:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of an adapter")
    parser.add_argument("--adapter", choices=("lora", "full", "dora"), default="lora")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    progress = os.fdopen(os.dup(sys.stderr.fileno()), "w")
    began, random = time.monotonic(), Random(f"{options.seed} {options.adapter}")
    quiet()
    try:
        case = _case(options.adapter, options.kills, random)
    except BaseException:
        traceback.print_exc(file=progress)  # the usual place is for what dying ranks say
        raise
    case |= {"machine": describe(), "seed": options.seed, "seconds": round(time.monotonic() - began)}
    before = json.loads(options.out.read_text())["cases"] if options.out and options.out.exists() else []
    text = json.dumps(sum_of([*(each for each in before if each["adapter"] != options.adapter), case]), indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


def _case(adapter: str, num_kills: int, random: Random) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ropewalk-kills-") as name:
        job = _tuning(Path(name), adapter)
        with hosts_of(job, under_ray=False) as hosts:
            return {"adapter": adapter, "ranks": _RANKS} | kill_and_compare(job, hosts, num_kills, random)


def _tuning(root: Path, adapter: str) -> TrainingJob:
    job = job_in(root, _EVERY, strategy="ddp", num_workers=_RANKS, steps=_STEPS)
    plan = job.recipe.derived.model_copy(update={"lora_rank": 4, "lora_alpha": 8})
    random_answers(root, plan)
    job.store.connect().publish(_base(root / "base", plan), base_key(_CONTENT), {})
    changes = {"mode": "finetune", "base_model": f"base@{_CONTENT}", "adapter": adapter, "plan": plan}
    recipe = type(job.recipe).model_validate({**job.recipe.model_dump(), **changes})
    return replace(job, run_id="undisturbed", recipe=recipe, dataset_uri="datasets/answers")


def _base(folder: Path, plan: Plan) -> Path:
    import torch

    from ropewalk.model.architecture import Shape, build_model, generator_of
    from ropewalk.model.weights import save_weights

    names = ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim", "intermediate_size")
    fields = {name: getattr(plan, name) for name in (*names, "context_length")}
    model = build_model(Shape(**fields, eos_id=0), 7)
    for name, parameter in model.named_parameters():
        if not parameter.any():  # matrices that a new model has at zero, so that all adapters move from the start
            torch.nn.init.normal_(parameter, 0.0, 0.02, generator=generator_of(name, 7))
    save_weights(dict(model.named_parameters()), model.config, folder)
    return folder


if __name__ == "__main__":
    main()
