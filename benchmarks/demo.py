"""The demo as a newcomer runs it, several times in a row in one state folder: time, peak memory, what came out.

    python benchmarks/demo.py [--runs 3] [--minutes M]

Memory is the sum of the proportional set sizes (PSS) of all processes of the stack, sampled every 2 s, in MB.
Every other figure is read from the report card's facts. Prints JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from machine import describe

from ropewalk.local.supervision.processes import stack_processes

_SAMPLE_S = 2.0


def main() -> None:
    """Run, then print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ropewalk-demo-") as name:
        runs = [_run(Path(name), options.minutes) for _ in range(options.runs)]
    seconds = [run["seconds"] for run in runs]
    summary = {"seconds_median": statistics.median(seconds), "seconds_spread": [min(seconds), max(seconds)]}
    print(json.dumps({"machine": describe(), **summary, "runs": runs}, indent=1))


def _run(state_dir: Path, minutes: float | None) -> dict[str, Any]:
    options = ["--minutes", str(minutes)] if minutes else []
    measured, result, card = measure(options, state_dir, state_dir)
    return {**measured, **_facts(card), "problems": result.get("problems", result)}


def measure(options: list[str], folder: Path, state_dir: Path) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """Run `ropewalk demo` in a folder: exit code, seconds and memory; what it printed; where its report card is."""
    command = [str(Path(sys.executable).parent / "ropewalk"), "demo", *options, "--json", "--state-dir", str(state_dir)]
    peak, over = [0.0], threading.Event()
    sampler = threading.Thread(target=sample_memory, args=(state_dir, peak, over))
    sampler.start()
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    over.set()
    sampler.join()
    result = json.loads(done.stdout) if done.stdout.strip() else {"error": done.stderr[-500:]}
    measured = {"exit_code": done.returncode, "seconds": round(seconds, 1), "peak_memory_mb": round(peak[0])}
    return measured, result, state_dir / "reports" / result.get("run_id", "") / "report.json"


def sample_memory(state_dir: Path, peak: list[float], over: threading.Event) -> None:
    """Raise `peak[0]` to the memory of the stack in MB, until it is `over`."""
    while not over.wait(_SAMPLE_S):
        total = 0
        for process in stack_processes(state_dir):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total / 1e6)


def _facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    card = json.loads(path.read_text())
    estimates = {item["metric"]: [item[key] for key in ("value", "lower", "upper")] for item in card["estimates"]}
    return {
        "bits_per_byte": estimates.get("bits_per_byte"),
        "unigram": estimates.get("baseline_unigram_bits_per_byte"),
        "bigram": estimates.get("baseline_bigram_bits_per_byte"),
        "trigram": estimates.get("baseline_trigram_bits_per_byte"),
        "recovery_s": [item["seconds_lost"] for item in card["interruptions"]],
        "ledger": card["ledger"],
        "stages_s": {stage["name"]: round(stage["seconds"], 1) for stage in card["stages"]},
        "train_tokens_per_s": card["tokens_per_s"],
        "traffic": card["traffic"],
        "alarms": [alarm["signal"] for alarm in card["alarms"]],
    }


if __name__ == "__main__":
    main()
