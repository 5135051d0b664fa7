"""Seconds of a core that a request takes when the endpoint's engine is full. Prints JSON.

    python benchmarks/finetune/price_at_load.py BASE > benchmarks/results/finetune_price_at_load.json

Two jobs: `specialist`, the base with a LoRA adapter (random, since speed does not depend on what was learnt) behind a
short prompt, and `instruction`, the base behind the long one. Both run in the engine that Triton serves, on one thread
and without a prompt cache, as at the endpoint. N clients keep N requests with it: each answer is followed at once by
the next question. Lengths are those of the demo (`specialist.json`): 84 and 529 tokens asked, 56 and 79 answered. A
window begins and ends in the midst of the load, and each figure is over what was answered in it: processor seconds of
the whole process (the clients' too, which do next to nothing). Jobs take turns; figures are [median, least, most] of
the rounds, ratios are of the two windows of a round. `estimated` is what the evaluator says of the same job.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from finetune.adapters_memory import an_export
from machine import describe

from ropewalk.evaluator.adapters.paces import measure_pace
from ropewalk.model.engine import Engine, Update
from ropewalk.model.engine_sampling import Sampling
from ropewalk.model.weights import load_model

RANK, FEWEST = 16, 3  # of the adapter; answers of a window


@dataclass(frozen=True)
class Job:
    """Tokens asked and answered, and how many answers make a window, for each request at a time."""

    prompt: int
    answer: int
    answers: float


JOBS = {"specialist": Job(84, 56, 1.0), "instruction": Job(529, 79, 0.5)}


class Load:
    """Requests without a pause, `count` at a time. Prompts are random tokens, none like another."""

    def __init__(self, engine: Engine, job: Job, count: int) -> None:
        self._engine, self._job, self._random = engine, job, random.Random(count)
        self._changed, self._open = threading.Condition(), True
        self._going: dict[int, int] = {}  # the engine's number, by client
        self.seconds: list[float] = []  # of each answer, from question to last token
        for client in range(count):  # spread over an answer, so that they do not end together
            self._ask(client, 1 + job.answer * client // count)

    def wait_for(self, count: int) -> None:
        """Until so many more were answered."""
        with self._changed:
            until = len(self.seconds) + count
            self._changed.wait_for(lambda: len(self.seconds) >= until)

    def end(self) -> None:
        with self._changed:
            self._open = False
            for number in self._going.values():
                self._engine.cancel(number)
            self._changed.wait_for(lambda: not self._going)

    def _ask(self, client: int, max_tokens: int) -> None:
        began = time.perf_counter()
        prompt = [self._random.randrange(self._engine.shape.vocab_size) for _ in range(self._job.prompt)]

        def on_update(update: Update) -> None:
            if not update.finish_reason:
                return
            with self._changed:
                self.seconds.append(time.perf_counter() - began)
                del self._going[client]
                if self._open:
                    self._ask(client, self._job.answer)
                self._changed.notify()

        with self._changed:
            wish = Sampling(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)
            self._going[client] = self._engine.submit(prompt, wish, on_update)


def window(engine: Engine, job: Job, count: int, num_answers: int) -> dict[str, float]:
    load = Load(engine, job, count)
    load.wait_for(max(1, count // 4))  # from the beginning their ends are spread over the time of an answer
    wall, processor, before = time.perf_counter(), time.process_time(), len(load.seconds)
    load.wait_for(num_answers)
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    seconds = load.seconds[before:]
    load.end()
    return {
        "cpu_s_per_request": processor / num_answers,
        "requests_per_s": num_answers / wall,
        "latency_s": statistics.median(seconds[:num_answers]),
    }


def spread(values: Sequence[float]) -> list[float]:
    return [round(pick(values), 4) for pick in (statistics.median, min, max)]


def measure(engines: dict[str, Engine], loads: Sequence[int], rounds: int, seconds: float) -> dict[str, Any]:
    """As many rounds as `rounds` and `seconds` allow; a load that was not reached is left out."""
    found: dict[int, dict[str, list[dict[str, float]]]] = {count: {name: [] for name in JOBS} for count in loads}
    until = time.monotonic() + seconds
    for name, job in JOBS.items():
        window(engines[name], job, 1, 1)  # warm
    for number, count in product(range(rounds), loads):
        if time.monotonic() > until:
            break
        for name in JOBS if number % 2 else reversed(JOBS):
            job = JOBS[name]
            found[count][name].append(window(engines[name], job, count, max(FEWEST, round(count * job.answers))))
            print(number, count, name, found[count][name][-1], file=sys.stderr)
    return {str(count): by_job(windows) for count, windows in found.items() if windows["specialist"]}


def by_job(windows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    pairs = zip(windows["specialist"], windows["instruction"], strict=True)
    ratios = [long["cpu_s_per_request"] / short["cpu_s_per_request"] for short, long in pairs]
    figures = {
        name: {figure: spread([one[figure] for one in each]) for figure in each[0]} for name, each in windows.items()
    }
    return {"rounds": len(ratios), **figures, "times_cheaper": spread(ratios)}


def estimated(base: Path, rounds: int) -> dict[str, Any]:
    """As the evaluator does it, from the rates of transformers."""
    model, chosen = load_model(base), random.Random(1)
    found: dict[str, list[float]] = {name: [] for name in JOBS}
    paces = []
    for _ in range(rounds):
        for name, job in JOBS.items():
            prompts = [[chosen.randrange(model.config.vocab_size) for _ in range(job.prompt)] for _ in range(4)]
            pace = measure_pace(model, prompts)
            found[name].append(job.prompt * pace.core_read + job.answer * pace.core_write)
            paces.append((name, {each: round(1e3 * value, 3) for each, value in vars(pace).items()}))
    ratios = [long / short for short, long in zip(found["specialist"], found["instruction"], strict=True)]
    return {
        "cpu_s_per_request": {name: spread(values) for name, values in found.items()},
        "times_cheaper": spread(ratios),
        "ms_a_token": paces,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=300.0, help="begin no window of the engine after so many")
    parser.add_argument("--loads", type=int, nargs="*", default=[16, 1, 8, 4], help="requests at a time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        export = Path(temporary) / "export"
        an_export(options.base, export, RANK, 0)
        engines = {"specialist": Engine(export, base=options.base), "instruction": Engine(options.base)}
        for engine in engines.values():
            engine.start()
        loads = measure(engines, options.loads, options.rounds, options.seconds)
        for engine in engines.values():
            engine.stop()
    jobs = {name: vars(job) for name, job in JOBS.items()}
    told = {"rank": RANK, "threads": 1, "figures": "[median, least, most]", "jobs": jobs}
    result = {"machine": describe(), **told, "at_a_time": loads, "estimated": estimated(options.base, options.rounds)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
