"""From kill -9 of a rank to the first step of the next attempt, noticing included. Prints JSON.

    python benchmarks/training/recovery.py --out benchmarks/results/training_recovery.json

Two CPU ranks at the size tiny, below Ray and under a private one. Warm: the worker is killed, and its fork server
forks the next. Cold: the fork server is killed too (under Ray the whole host), so that everything is imported again.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe
from parts.under_fire import Fire, quiet, train

_STEPS_BETWEEN = 25
_BARS = {"warm": 3.0, "cold": 12.0}


def main() -> None:
    """Kill, wait, repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="of each kind")
    parser.add_argument("--only", choices=("below_ray", "under_ray"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    machine = describe()
    quiet()
    places = [options.only] if options.only else ["below_ray", "under_ray"]
    result = {place: _measure(options.kills, under_ray=place == "under_ray") for place in places}
    text = json.dumps({"machine": machine, "bars_s": _BARS, **result}, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


def _measure(num_kills: int, *, under_ray: bool) -> dict[str, object]:
    kinds = ["warm", "cold"] * num_kills
    kills: list[tuple[str, float]] = []

    def shoot(fire: Fire) -> None:
        if len(kills) == fire.attempt - 1 and fire.steps_of_attempt >= _STEPS_BETWEEN:
            if fire.attempt > len(kinds):
                fire.stop_file.touch()
                return
            kind = kinds[fire.attempt - 1]
            cold = 2 if under_ray else 1
            kills.append((kind, fire.kill(cold if kind == "cold" else 0)))

    fire = train(shoot, under_ray=under_ray)
    found: dict[str, list[float]] = {"warm": [], "cold": []}
    for attempt, (kind, moment) in enumerate(kills, start=2):
        found[kind].append(round(fire.first_step_at[attempt] - moment, 3))
    told: dict[str, object] = {"causes": fire.causes}
    for kind, seconds in found.items():
        median = statistics.median(seconds)
        told[kind] = {"seconds": seconds, "median_s": median, "within_bar": median < _BARS[kind]}
    return told


if __name__ == "__main__":
    main()
