"""What a JSON schema costs an answer, and what it costs the others. Prints JSON.

    python benchmarks/finetune/constrained.py MODEL > benchmarks/results/finetune_constrained.json

One engine on one thread, as at the endpoint. Cases take turns, and each figure is the median over the rounds with their
least and most. `answers`: four at once, as many tokens with and without a schema. `neighbours`: three streams without a
schema beside a client that asks again and again without one, under a usual one, or under a costly one (whose first
masks take up to 0.15 s); the gap is between two tokens of a stream.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.model.engine import Engine, Update
from ropewalk.model.engine_sampling import Sampling

ROUNDS, NUM_ANSWERS, NUM_STREAMS = 3, 4, 3
ANSWER_TOKENS, STREAM_TOKENS, CLIENT_TOKENS = 32, 32, 8
PROMPT = "Describe the functions of a program that keeps the books of a small harbour.\n"
RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "parameters": {"type": "array", "items": {"type": "string", "maxLength": 20}},
        "raises": {"enum": ["ValueError", "KeyError", None]},
    },
    "required": ["name", "parameters", "raises"],
    "additionalProperties": False,
}
USUAL = {"type": "array", "items": RECORD, "minItems": 40}
COSTLY = {
    "anyOf": [
        {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": most}]},
            "minItems": most,
        }
        for most in range(1, 150)
    ]
}
SCHEMAS: dict[str, Any] = {"none": None, "usual": USUAL, "costly": COSTLY}


class Answer:
    """When the tokens of an answer came (monotonic seconds), and when it ended."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.reason = ""
        self.ended = threading.Event()

    def __call__(self, update: Update) -> None:
        self.times += [time.monotonic()] * len(update.token_ids)
        if update.finish_reason:
            self.reason = update.finish_reason
            self.ended.set()


def ask(engine: Engine, schema: Any, num_tokens: int, seed: int) -> Answer:
    answer = Answer()
    constraint = None if schema is None else engine.constraint(json.dumps(schema))
    wish = Sampling(max_tokens=num_tokens, temperature=0.8, seed=seed, ignore_eos=schema is None)
    engine.submit(engine.encode(PROMPT), wish, answer, constraint)
    return answer


def answers(engine: Engine, schema: Any) -> dict[str, float]:
    wall, processor = time.monotonic(), time.process_time()
    asked = [ask(engine, schema, ANSWER_TOKENS, seed) for seed in range(NUM_ANSWERS)]
    for each in asked:
        each.ended.wait()
    count = sum(len(each.times) for each in asked)
    return {
        "tokens_per_s": count / (time.monotonic() - wall),
        "cpu_ms_per_token": 1e3 * (time.process_time() - processor) / count,
    }


def neighbours(engine: Engine, schema: Any) -> dict[str, float]:
    over, counts = threading.Event(), [0]

    def client() -> None:
        while not over.is_set():
            ask(engine, schema, CLIENT_TOKENS, counts[0]).ended.wait()
            counts[0] += 1

    asking = threading.Thread(target=client)
    asking.start()
    began = time.monotonic()
    streams = [ask(engine, None, STREAM_TOKENS, seed) for seed in range(NUM_STREAMS)]
    for each in streams:
        each.ended.wait()
    seconds = time.monotonic() - began
    over.set()
    asking.join()
    gaps = sorted(
        1e3 * (later - earlier) for each in streams for earlier, later in zip(each.times, each.times[1:], strict=False)
    )
    return {
        "tokens_per_s": NUM_STREAMS * STREAM_TOKENS / seconds,
        "gap_ms_median": statistics.median(gaps),
        "gap_ms_p99": gaps[int(0.99 * len(gaps))],
        "gap_ms_most": gaps[-1],
        "client_answers": float(counts[0]),
    }


def spread(figures: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """[median, least, most] of each."""
    return {
        name: [round(pick([each[name] for each in figures]), 2) for pick in (statistics.median, min, max)]
        for name in figures[0]
    }


def in_turns(measure: Callable[[Engine, Any], dict[str, float]], engine: Engine, names: Sequence[str]) -> Any:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for name in names:  # warm
        measure(engine, SCHEMAS[name])
    for number in range(ROUNDS):
        for name in names if number % 2 else reversed(names):
            found[name].append(measure(engine, SCHEMAS[name]))
    against_none = {
        name: spread(
            [
                {"tokens_per_s": one["tokens_per_s"] / none["tokens_per_s"]}
                for one, none in zip(found[name], found["none"], strict=True)
            ]
        )["tokens_per_s"]
        for name in names
    }
    return {name: {**spread(found[name]), "rate_against_none": against_none[name]} for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    torch.set_num_threads(1)
    engine = Engine(parser.parse_args().model)
    engine.start()
    result = {
        "answers": in_turns(answers, engine, ("none", "usual")),
        "neighbours": in_turns(neighbours, engine, ("none", "usual", "costly")),
    }
    engine.stop()
    print(json.dumps({"machine": describe(), "rounds": ROUNDS, "figures": "[median, least, most]", **result}, indent=1))


if __name__ == "__main__":
    main()
