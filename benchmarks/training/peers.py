"""Bits per byte at equal CPU seconds, and tokens a second, against the Trainers of transformers and of Lightning.

    python benchmarks/training/peers.py --out benchmarks/results/training_peers.json

One process and one thread each, size nano, the standard library of this Python, a tokenizer of our own for all. A peer
that is not installed is skipped, and the result says so (`pip install lightning`; it is no dependency of ours).

1. Speed: all loops take turns of a few steps with the same model, batch and AdamW. Told is the median over turns of
   their CPU seconds over ours, with a 95 % interval of that median, and the same with our default optimizer, Muon.
2. Tuning: the peers' peak rate is chosen out of a grid by whole trainings of the first peer with a seed of its own;
   what both compute is the same. Ours are the rates that the dial derives.
3. Learning: for each seed every loop trains as many steps as fit into the same CPU seconds at the speeds just found,
   and is scored on held-out files. Told is our figure less the peer's, over the seeds, with a 95 % interval (t).
"""

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from machine import describe
from parts.peer_loops import Peer, Task, bits_per_byte_of, installed, peers, train
from parts.short_training import plan_of
from parts.training_data import stdlib_dataset

from ropewalk.recipes.recipe import Plan

_GRID = (2e-3, 4e-3, 8e-3, 16e-3)
_TUNING_SEED = 99
_TURNS, _STEPS_A_TURN = 16, 6
_HELD_OUT_CHARS = 120_000
_AT_ONCE = 4  # trainings; how many steps each takes is fixed before
_T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # by degrees of freedom
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class _Ground:
    """What all learn: the folder of the dataset, the plan, texts to be scored on."""

    root: Path
    plan: Plan
    held_out: list[str]


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="of ours; the CPU seconds of these are everybody's")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    machine, there = describe(), [peer for peer in peers() if installed(peer)]
    with tempfile.TemporaryDirectory(prefix="ropewalk-peers-") as name:
        root, plan = Path(name), plan_of("nano")
        ground = _Ground(root, plan, _some(stdlib_dataset(root, plan)[1]))
        speed = _speed(root, plan, there)
        print(speed, file=sys.stderr, flush=True)
        steps = {peer: round(options.steps / speed[peer]["over_muon"]) for peer in there}
        tuning, learnt = _learning(ground, steps, options.seeds)
    result = {
        "machine": machine,
        "size": "nano",
        "not_installed": [peer for peer in peers() if peer not in there],
        "speed": {peer: _told(speed[peer]) for peer in there},
        "tuning": tuning,
        "learning": learnt,
        "less_than": {peer: _less(learnt["ropewalk"], learnt[peer]) for peer in there if peer != "ropewalk"},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _learning(
    ground: _Ground, steps: dict[Peer, int], num_seeds: int
) -> tuple[dict[float, float], dict[Peer, list[dict[str, Any]]]]:
    """Bits per byte by rate of the tuning, the best of which the peers take; and by peer what each seed gave."""
    trials: list[tuple[Peer, int, int, float]] = [
        ("huggingface", steps["huggingface"], _TUNING_SEED, rate) for rate in _GRID
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tried = pool.map(lambda trial: _learn(ground, *trial), trials)
        tuning = {rate: found["bits_per_byte"] for rate, found in zip(_GRID, tried, strict=True)}
        best = min(tuning, key=lambda rate: tuning[rate])
        jobs = [
            (peer, count, seed, 0.0 if peer == "ropewalk" else best)
            for seed in range(1, num_seeds + 1)
            for peer, count in steps.items()
        ]
        rows = list(pool.map(lambda job: _learn(ground, *job), jobs))
    return tuning, {peer: [row for row in rows if row["peer"] == peer] for peer in steps}


def _some(texts: Sequence[str]) -> list[str]:
    """So many whole files that scoring stays short."""
    taken, size = [], 0
    for text in texts:
        if size < _HELD_OUT_CHARS and 0 < len(text) < _HELD_OUT_CHARS // 5:
            taken.append(text)
            size += len(text)
    return taken


def _shortened(plan: Plan, steps: int) -> Plan:
    changes = {
        "total_steps": steps,
        "warmup_steps": min(plan.warmup_steps, max(1, steps // 10)),
        "decay_start": steps * 6 // 10,
        "checkpoint_every": 10 * steps,
    }
    return plan.model_copy(update=changes)


def _speed(root: Path, plan: Plan, there: Sequence[Peer]) -> dict[str, dict[str, Any]]:
    """CPU seconds of a step by peer, and over ours in each turn: `over_adamw` of the same sort, `over_muon` of ours."""
    turns = _TURNS + 1  # the first warms up
    task = Task(root=root, plan=_shortened(plan, turns * _STEPS_A_TURN), seed=1, rate=1e-3)
    default = Task(root=root, plan=task.plan, seed=1)
    given: list[tuple[Peer, Task]] = [("ropewalk", default), *((peer, task) for peer in there)]
    pipes, processes = [], []
    for peer, each in given:
        ours, theirs = _spawn.Pipe()
        processes.append(_spawn.Process(target=_take_turns, args=(peer, each, theirs)))
        processes[-1].start()
        pipes.append(ours)
    spent = []
    for number in range(turns):
        order = range(len(pipes)) if number % 2 else reversed(range(len(pipes)))
        row = [0.0] * len(pipes)
        for place in order:
            pipes[place].send(None)
            row[place] = pipes[place].recv() / _STEPS_A_TURN
        spent.append(row)
    for process in processes:
        process.join()
    found = np.array(spent[1:])  # (turns, loops), the first column is ours with Muon, the second ours with AdamW
    told: dict[str, dict[str, Any]] = {}
    for column, peer in enumerate(there, start=1):
        mine = 0 if peer == "ropewalk" else column  # ours learns with Muon
        told[peer] = {
            "adamw_step_cpu_s": float(np.median(found[:, column])),
            "over_adamw": found[:, column] / found[:, 1],
            "over_muon": float(np.median(found[:, mine] / found[:, 0])),
        }
    return told


def _take_turns(peer: Peer, task: Task, pipe: Connection) -> None:
    began = 0.0

    def on_step(step: int) -> None:
        nonlocal began
        if (step + 1) % _STEPS_A_TURN == 0:
            pipe.send(time.process_time() - began)
            if step + 1 < task.plan.total_steps:
                pipe.recv()
                began = time.process_time()

    os.environ["OMP_NUM_THREADS"] = "1"
    pipe.recv()
    began = time.process_time()
    train(peer, task, on_step)


def _learn(ground: _Ground, peer: Peer, steps: int, seed: int, rate: float) -> dict[str, Any]:
    """Train in a process of its own. `cpu_s` is of all steps but the first."""
    ours, theirs = _spawn.Pipe()
    task = Task(root=ground.root, plan=_shortened(ground.plan, steps), seed=seed, rate=rate)
    process = _spawn.Process(target=_learn_here, args=(peer, task, ground.held_out, theirs))
    process.start()
    theirs.close()
    found = {"peer": peer, "seed": seed, "steps": steps, **ours.recv()}
    process.join()
    print(found, file=sys.stderr, flush=True)
    return found


def _learn_here(peer: Peer, task: Task, held_out: list[str], pipe: Connection) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    moments: list[float] = []
    model = train(peer, task, lambda _: moments.append(time.process_time()))
    found = bits_per_byte_of(model, task.root, task.plan, held_out)
    pipe.send({"bits_per_byte": round(found, 4), "cpu_s": round(moments[-1] - moments[0], 2)})


def _told(speed: dict[str, Any]) -> dict[str, float]:
    """A peer's CPU seconds over ours is our tokens a second over its."""
    ratios = speed["over_adamw"]
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return {
        "adamw_step_cpu_s": round(speed["adamw_step_cpu_s"], 5),
        "our_tokens_per_s_over_its": round(float(np.median(ratios)), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "step_over_our_default": round(speed["over_muon"], 4),
    }


def _less(ours: Sequence[dict[str, Any]], its: Sequence[dict[str, Any]]) -> dict[str, float | bool]:
    each = [mine["bits_per_byte"] - other["bits_per_byte"] for mine, other in zip(ours, its, strict=True)]
    mean = statistics.fmean(each)
    half = _T_975[len(each) - 1] * statistics.stdev(each) / math.sqrt(len(each))
    return {
        "bits_per_byte": round(mean, 4),
        "low": round(mean - half, 4),
        "high": round(mean + half, 4),
        "cpu_s_over_its": round(sum(row["cpu_s"] for row in ours) / sum(row["cpu_s"] for row in its), 3),
        "within_bar": mean + half < 0,
    }


if __name__ == "__main__":
    main()
