"""How much of the time is spent on steps that count while a worker is killed every 30 seconds. Prints JSON.

    python benchmarks/training/goodput_under_fire.py --out benchmarks/results/training_goodput_under_fire.json

Two CPU ranks at the size tiny. Productive is the time of forward, backward and update of every step of the final
history, each counted once; the rest (saving, what a kill threw away, noticing, starting again) is not. The clock runs
from the end of the first step to the end of the last.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.under_fire import Fire, quiet, train


def main() -> None:
    """Fire, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two kills")
    parser.add_argument("--ray", action="store_true", help="under a private Ray")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    machine = describe()
    quiet()
    kills: list[float] = []

    def shoot(fire: Fire) -> None:
        now, began = time.time(), fire.rows[0].time_unix
        if now - began > options.seconds:
            fire.stop_file.touch()
        elif now - began > options.every * (len(kills) + 1) and fire.steps_of_attempt:
            kills.append(fire.kill(0))

    fire = train(shoot, under_ray=options.ray)
    last = {row.step: row for row in fire.rows}  # a step that was taken again counts once
    wall = fire.rows[-1].time_unix - fire.rows[0].time_unix
    productive = sum(row.step_s for row in last.values()) / wall
    starts = sorted(fire.first_step_at.items())[1:]
    result = {
        "under_ray": options.ray,
        "seconds": round(wall, 1),
        "kills": len(kills),
        "losses": len(fire.causes),
        "steps": len(last),
        "steps_taken_again": len(fire.rows) - len(last),
        "recovery_s": [round(at - kill, 2) for kill, (_, at) in zip(kills, starts, strict=False)],
        "productive": round(productive, 4),
        "bar": 0.85,
        "within_bar": productive >= 0.85,
        "load_1min_at_end": describe()["load_1min"],
    }
    text = json.dumps({"machine": machine, **result}, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
