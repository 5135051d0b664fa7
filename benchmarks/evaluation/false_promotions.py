"""How often a gate promotes a model that is no better: the best of eight tries, with a budget and without.

    python benchmarks/evaluation/false_promotions.py [--families 1000] [--seconds 540] [--out FILE]

Goes round the cells in portions until each has its families or the time is up, and goes on from FILE the next time.

A family is eight candidates, one after the other, against the same opponent on the same held-out clusters; it ends with
the first promotion. Every candidate's gains differ from the opponent's by chance alone. `without` judges each try as if
it were the first. `power` is how often the first and the eighth try are promoted at the stated effect.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.evaluator.domain.budget import Try
from ropewalk.statistics.intervals import ratio

TRIES, SPREAD, EFFECT, PER_CLUSTER, ICC = 8, 0.1, 0.1, 5, 0.5  # bits per byte
WAYS = ("with_budget", "without", "power_first", "power_eighth")
PORTION = 10  # families
Cell = tuple[int, int, float]  # clusters, texts of a cluster, sigma of the sizes


def sums(rng: np.random.Generator, cell: Cell, effect: float, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The saved bits of each cluster, (clusters,); `sizes` is (clusters, texts)."""
    num, texts, _ = cell
    shared = ICC if texts > 1 else 0.0
    between, within = rng.normal(size=(num, 1)), rng.normal(size=(num, texts))
    gains = effect + SPREAD * (shared**0.5 * between + (1 - shared) ** 0.5 * within)
    return np.asarray((gains * sizes).sum(axis=1))


def is_promoted(
    rng: np.random.Generator, cell: Cell, sizes: NDArray[np.float64], number: int, effect: float = 0.0
) -> bool:
    saved = sums(rng, cell, effect, sizes)
    return ratio(saved.tolist(), sizes.sum(axis=1).tolist(), seed=1, level=Try(number=number).level).lower > 0


def of_families(job: tuple[Cell, range]) -> list[int]:
    """How many families, by seed, promoted: in the order of WAYS."""
    cell, families = job
    found = dict.fromkeys(WAYS, 0)
    for family in families:
        sizes = np.random.default_rng([family, 0]).lognormal(7, cell[2], (cell[0], cell[1]))
        for way in ("with_budget", "without"):
            rng = np.random.default_rng([family, 1])
            numbers = [number if way == "with_budget" else 1 for number in range(1, TRIES + 1)]
            found[way] += any(is_promoted(rng, cell, sizes, number) for number in numbers)
        rng = np.random.default_rng([family, 2])
        found["power_first"] += is_promoted(rng, cell, sizes, 1, EFFECT)
        found["power_eighth"] += is_promoted(rng, cell, sizes, TRIES, EFFECT)
    return list(found.values())


def told(known: dict[str, list[int]], families: int) -> dict[str, object]:
    """The record; `known` has the families of each cell, and how many of them promoted in each of WAYS."""
    done = {cell: counts for cell, counts in known.items() if counts[0]}
    rows = {
        cell: {way: round(number / count, 4) for way, number in zip(WAYS, numbers, strict=True)}
        for cell, (count, *numbers) in done.items()
    }
    return {
        "machine": describe(),
        "tries": TRIES,
        "effect": EFFECT,
        "spread": SPREAD,
        "families_wanted": families,
        "families": min(counts[0] for counts in known.values()),
        "highest_with_budget": max((row["with_budget"] for row in rows.values()), default=0.0),
        "highest_without": max((row["without"] for row in rows.values()), default=0.0),
        "promoted": rows,
        "counts": known,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=1000, help="of each cell")
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "evaluation_false_promotions.json")
    args = parser.parse_args()
    cells: dict[str, Cell] = {
        f"{num} clusters of {texts}, sizes {sigma}": (num, texts, sigma)
        for num, texts, sigma in product((20, 50), (1, PER_CLUSTER), (0.5, 1.5))
    }
    start = {name: [0] * (1 + len(WAYS)) for name in cells}
    known = json.loads(args.out.read_text())["counts"] if args.out.exists() else start
    ends = time.monotonic() + args.seconds
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        while time.monotonic() < ends and (left := [name for name in known if known[name][0] < args.families]):
            jobs = [(cells[name], range(known[name][0], known[name][0] + PORTION)) for name in left]
            for name, more in zip(left, pool.imap(of_families, jobs), strict=True):
                known[name] = [was + new for was, new in zip(known[name], [PORTION, *more], strict=True)]
            args.out.write_text(json.dumps(told(known, args.families), indent=1) + "\n")


if __name__ == "__main__":
    main()
