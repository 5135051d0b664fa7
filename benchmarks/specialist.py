"""The demo of the specialist as a newcomer runs it, in a fresh state folder: time, memory, what came out, prices.

    python benchmarks/specialist.py [--state-dir FOLDER]

Memory is the sum of the proportional set sizes (PSS) of all processes of the stack, sampled every 2 s, in MB. Every
figure of quality is the evaluator's own, with its interval. Prints JSON.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from demo import measure
from machine import describe


def main() -> None:
    """Run, then print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ropewalk-specialist-") as name:
        state_dir, folder = options.state_dir or Path(name, "state"), Path(name, "folder")
        folder.mkdir()
        print(json.dumps({"machine": describe(), **_run(state_dir, folder)}, indent=1))


def _run(state_dir: Path, folder: Path) -> dict[str, Any]:
    measured, result, card = measure(["specialist"], folder, state_dir)
    return {**measured, **result, **facts(card)}


def facts(path: Path) -> dict[str, Any]:
    """Of a report card: levels and paired gains, each with its interval, and where the time went."""
    if not path.is_file():
        return {}
    card = json.loads(path.read_text())
    kept = ("value", "lower", "upper", "level", "num_items", "subject", "paired", "method")
    return {
        "estimates": {each["metric"]: {name: each[name] for name in kept} for each in card["estimates"]},
        "gate": card["gate"],
        "stages_s": {stage["name"]: round(stage["seconds"], 1) for stage in card["stages"]},
        "train_tokens_per_s": card["tokens_per_s"],
    }


if __name__ == "__main__":
    main()
