"""Useful tokens a second of fine-tuning, against the Trainer of transformers with peft and TRL's SFTTrainer.

    for adapter in lora full; do for precision in fp32 bf16; do
        python benchmarks/finetune/peers.py --base FOLDER --adapter $adapter --precision $precision \
            --peers huggingface --out benchmarks/results/finetune_peers.json; done; done

One process and one thread each. All loops take turns of a few steps with the same base model, conversations, masks,
adapters, precision and AdamW, in alternating order. Useful are the tokens of conversations; padding is not. Told is the
median over turns of our useful tokens a CPU second over theirs (and a second of the clock), with a 95 % interval of
that median. `trl` pads as it does by default, `trl_packed` has `packing=True`; both without gradient checkpointing.
Batches are alike in tokens. A peer that is not installed is skipped, and the result says so. The peer
`ropewalk_muon` is ours as the dial trains all weights. What the record says of other cases is kept, so that each has
its command; on a busy machine one peer at a time.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from machine import describe
from parts.finetune_loops import PEERS, Peer, Task, installed, publish_conversations, train

from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe

_COUNT = 600
_WARM = 1  # turns
_spawn = multiprocessing.get_context("spawn")


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="a Hugging Face folder with a chat template")
    parser.add_argument("--adapter", choices=("lora", "full"), default="lora")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peers", nargs="+", default=list(PEERS)[2:], help="also: ropewalk_muon")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--steps", type=int, default=2, help="of a turn")
    parser.add_argument("--windows", type=int, default=4, help="of a step of ours")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    there = [peer for peer in options.peers if installed(peer)]
    kind = {"adapter": options.adapter, "precision": options.precision, "peers": there}
    with tempfile.TemporaryDirectory(prefix="ropewalk-finetune-") as name:
        lengths = publish_conversations(Path(name), options.base, options.context, _COUNT)
        row = _case(options, Path(name), there, statistics.fmean(lengths), kind)
    row |= {
        "machine": describe(),
        "base": options.base.name,
        "conversations": {"count": len(lengths), "mean_tokens": round(statistics.fmean(lengths), 1)},
        "not_installed": [peer for peer in options.peers if peer not in there],
    }
    before = json.loads(options.out.read_text())["cases"] if options.out and options.out.exists() else []
    others = [each for each in before if {name: each[name] for name in kind} != kind]
    text = json.dumps({"cases": [*others, row]}, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _case(
    options: argparse.Namespace, root: Path, peers: Sequence[Peer], mean: float, kind: dict[str, Any]
) -> dict[str, Any]:
    recipe = Recipe.model_validate(
        {
            "sources": [SourceRecipe(path="/nowhere", licence="CC0-1.0")],
            "mode": "finetune",
            "base_model": str(options.base),
            "precision": kind["precision"],
            "adapter": kind["adapter"],
            "training": {
                "document_masks": True,
                "batch_size": options.windows,
                "context_length": options.context,
                "total_steps": (options.turns + _WARM) * options.steps,
            },
        }
    )
    at_once = max(1, round(options.windows * options.context / mean))
    task = Task(root=root, base=options.base, plan=complete(recipe).derived, adapter=kind["adapter"], at_once=at_once)
    found = _turns(task, ["ropewalk", *peers], options.turns + _WARM, options.steps)[_WARM:]
    told = {peer: _told(found, column) for column, peer in enumerate(peers, start=1)}
    rates = {
        peer: [round(float(np.median(found[:, place, 0] / found[:, place, each])), 1) for each in (1, 2)]
        for place, peer in enumerate(["ropewalk", *peers])
    }
    row = {**kind, "turns": len(found), "at_once": at_once, "tokens_per_cpu_s_and_s": rates, "ours_over_its": told}
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _turns(task: Task, peers: Sequence[Peer], turns: int, steps: int) -> Any:
    """(turns, loops, 3): useful tokens, CPU seconds, seconds."""
    pipes, processes = [], []
    for peer in peers:
        ours, theirs = _spawn.Pipe()
        processes.append(_spawn.Process(target=_take_turns, args=(peer, task, steps, theirs)))
        processes[-1].start()
        pipes.append(ours)
    spent = []
    for number in range(turns):
        order = range(len(pipes)) if number % 2 else reversed(range(len(pipes)))
        row: list[tuple[float, ...]] = [()] * len(pipes)
        for place in order:
            pipes[place].send(None)
            row[place] = pipes[place].recv()
        spent.append(row)
    for process in processes:
        process.join()
    return np.array(spent)


def _take_turns(peer: Peer, task: Task, steps: int, pipe: Connection) -> None:
    began, tokens, done = (0.0, 0.0), 0, 0

    def on_step(useful: int) -> None:
        nonlocal began, tokens, done
        tokens, done = tokens + useful, done + 1
        if done % steps == 0:
            pipe.send((tokens, time.process_time() - began[0], time.monotonic() - began[1]))
            if done < task.plan.total_steps:
                pipe.recv()
                began, tokens = (time.process_time(), time.monotonic()), 0

    os.environ["OMP_NUM_THREADS"] = str(task.threads)
    pipe.recv()
    began = time.process_time(), time.monotonic()
    train(peer, task, on_step)


def _told(found: Any, column: int) -> dict[str, float]:
    """Of CPU seconds with its interval, and of seconds."""
    rates = found[:, :, :1] / found[:, :, 1:]  # (turns, loops, 2)
    ratios = rates[:, 0] / rates[:, column]  # (turns, 2)
    drawn = np.random.default_rng(0).choice(ratios[:, 0], (2000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return {
        "by_cpu_s": round(float(np.median(ratios[:, 0])), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "by_s": round(float(np.median(ratios[:, 1])), 3),
    }


if __name__ == "__main__":
    main()
