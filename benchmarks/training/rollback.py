"""From `ropewalk model rollback` to the first answer of the version before, on a whole stack under requests. JSON.

    python benchmarks/training/rollback.py --out benchmarks/results/training_rollback.json

Two small runs are promoted one after the other, so that the first is unloaded. Then the alias goes back to it and
forward again, while a client keeps asking: every answer counts, by the version that gave it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe

from ropewalk.cli.connecting import call
from ropewalk.client import find_settings
from ropewalk.events.run import RunCompleted, RunFailed, RunRejected

_BAR_S = 60.0
_MODEL = "back"
_MINUTES = (0.1, 0.6, 1.0)  # a run must be better than the one before to pass the gate
_MOST_RUNS = len(_MINUTES)
_RUN_S = 240.0


@dataclass
class Stack:
    """A stack in a folder of its own, through the command line."""

    folder: Path
    answers: list[tuple[float, str]] = field(default_factory=list)  # when (monotonic), and the version or the error

    def ropewalk(self, *arguments: str) -> str:
        """The output of a command that must succeed."""
        program = str(Path(sys.executable).parent / "ropewalk")
        place = ["--state-dir", str(self.folder)]
        done = subprocess.run([program, *arguments, *place], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def train(self, number: int) -> str:
        """The outcome of a small run."""
        settings, run_id = find_settings(self.folder), f"run-{number}"
        recipe: dict[str, Any] = {
            "base": "python-stdlib-tiny",
            "seed": number,
            "minutes": _MINUTES[number - 1],
            "trials": 0,
            "promotion": {"model": _MODEL},
        }
        call(lambda client: client.submit(recipe, run_id), settings)
        deadline = time.monotonic() + _RUN_S
        while time.monotonic() < deadline:
            for stored in call(lambda client: client.timeline(run_id), settings):
                if isinstance(stored.message, RunCompleted):
                    return stored.message.outcome
                if isinstance(stored.message, RunFailed | RunRejected):
                    raise SystemExit(f"{run_id}: {stored.message}")
            time.sleep(0.5)
        raise SystemExit(f"{run_id} did not end in {_RUN_S:.0f} s")

    def ask(self, stop: threading.Event) -> None:
        """Ask the model again and again."""
        status: dict[str, Any] = json.loads(self.ropewalk("status", "--json"))
        url, key = status["endpoints"]["openai"], status["demo_key"]
        body = {"model": _MODEL, "prompt": "def add(", "max_tokens": 2}
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=20) as client:
            while not stop.is_set():
                response = client.post(f"{url.rstrip('/').removesuffix('/v1')}/v1/completions", json=body)
                version = response.headers.get("x-ropewalk-model-version", "")
                word = version if response.is_success else f"{response.status_code} {response.text}"[:300]
                self.answers.append((time.monotonic(), word))
                time.sleep(0.02)


def main() -> None:
    """Promote two, go back, go forward."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    machine = describe()
    with tempfile.TemporaryDirectory(prefix="ropewalk-rollback-") as name:
        stack = Stack(Path(name) / "state")
        stack.ropewalk("up")
        try:
            result = _measure(stack)
        finally:
            stack.ropewalk("down")
    text = json.dumps({"machine": machine, "bar_s": _BAR_S, **result}, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


def _measure(stack: Stack) -> dict[str, Any]:
    outcomes: list[str] = []
    while outcomes.count("promoted") < 2 and len(outcomes) < _MOST_RUNS:
        outcomes.append(stack.train(len(outcomes) + 1))
    stop = threading.Event()
    asking = threading.Thread(target=stack.ask, args=(stop,))
    asking.start()
    try:
        while not stack.answers:
            time.sleep(0.05)
        moves = [_move(stack), _move(stack, "--to", "2")]
    finally:
        stop.set()
        asking.join()
    words = [word for _, word in stack.answers]
    refused = [word for word in words if not word.startswith(_MODEL)]
    told = {"outcomes": outcomes, "num_requests": len(words), "num_refused": len(refused), "refused": refused[:3]}
    worst = max(move["first_answer_s"] for move in moves)
    return {"moves": moves, "worst_s": worst, "within_bar": worst < _BAR_S, **told}


def _move(stack: Stack, *more: str) -> dict[str, Any]:
    began, before = time.monotonic(), stack.answers[-1][1]
    said = json.loads(stack.ropewalk("model", "rollback", _MODEL, *more, "--json"))
    done = time.monotonic()
    target = f"{_MODEL}@{said['to_version']}"
    while stack.answers[-1][0] < done or stack.answers[-1][1] == before:
        if time.monotonic() > done + _BAR_S:
            raise SystemExit(f"{stack.answers[-1][1]} answers, not {target}")
        time.sleep(0.02)
    first = next(moment for moment, word in stack.answers if moment > began and word != before)
    return {
        "to": target,
        "answered_by": stack.answers[-1][1],
        "first_answer_s": first - began,
        "command_s": done - began,
    }


if __name__ == "__main__":
    main()
