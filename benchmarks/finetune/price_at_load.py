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
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from finetune.adapters_memory import an_export
from machine import describe

from ropewalk.model.engine import Engine, Update
from ropewalk.model.engine_sampling import Sampling

LOADS, RANK = (1, 4, 8, 16), 16


@dataclass(frozen=True)
class Job:
    """Tokens asked and answered."""

    prompt: int
    answer: int


JOBS = {"specialist": Job(84, 56), "instruction": Job(529, 79)}


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
    load.wait_for(count)  # the short ones that spread the load
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


def measure(engines: dict[str, Engine], rounds: int, answers: dict[str, int]) -> dict[str, object]:
    found: dict[int, dict[str, list[dict[str, float]]]] = {count: {name: [] for name in JOBS} for count in LOADS}
    for name, job in JOBS.items():
        window(engines[name], job, 1, 1)  # warm
    for number in range(rounds):
        for count in LOADS:
            for name in JOBS if number % 2 else reversed(JOBS):
                found[count][name].append(window(engines[name], JOBS[name], count, max(count, answers[name])))
                print(number, count, name, found[count][name][-1], file=sys.stderr)
    return {
        str(count): {
            **{
                name: {figure: spread([one[figure] for one in windows]) for figure in windows[0]}
                for name, windows in by_name.items()
            },
            "times_cheaper": spread(
                [
                    long["cpu_s_per_request"] / short["cpu_s_per_request"]
                    for short, long in zip(by_name["specialist"], by_name["instruction"], strict=True)
                ]
            ),
        }
        for count, by_name in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        export = Path(temporary) / "export"
        an_export(options.base, export, RANK, 0)
        engines = {"specialist": Engine(export, base=options.base), "instruction": Engine(options.base)}
        for engine in engines.values():
            engine.start()
        loads = measure(engines, options.rounds, {"specialist": 8, "instruction": 4})
        for engine in engines.values():
            engine.stop()
    jobs = {name: vars(job) for name, job in JOBS.items()}
    told = {"rank": RANK, "rounds": options.rounds, "threads": 1, "figures": "[median, least, most]", "jobs": jobs}
    print(json.dumps({"machine": describe(), **told, "at_a_time": loads}, indent=1))


if __name__ == "__main__":
    main()
