"""How often a gate promotes a model that is no better: the best of eight tries, with a budget and without. Prints JSON.

    python benchmarks/evaluation/false_promotions.py [--families 1000] [--processes 2]

A family is eight candidates, one after the other, against the same opponent on the same held-out clusters; it ends with
the first promotion. Every candidate's gains differ from the opponent's by chance alone. `without` judges each try as if
it were the first. `power` is how often the first and the eighth try are promoted at the stated effect.
"""

import argparse
import json
import multiprocessing
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.evaluator.domain.budget import Try
from ropewalk.evaluator.domain.intervals import ratio

TRIES, SPREAD, EFFECT, PER_CLUSTER, ICC = 8, 0.1, 0.1, 5, 0.5  # bits per byte
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


def of_families(job: tuple[Cell, int]) -> dict[str, float]:
    cell, count = job
    found = {"with_budget": 0, "without": 0, "power_first": 0, "power_eighth": 0}
    for family in range(count):
        sizes = np.random.default_rng([family, 0]).lognormal(7, cell[2], (cell[0], cell[1]))
        for way in ("with_budget", "without"):
            rng = np.random.default_rng([family, 1])
            numbers = [number if way == "with_budget" else 1 for number in range(1, TRIES + 1)]
            found[way] += any(is_promoted(rng, cell, sizes, number) for number in numbers)
        rng = np.random.default_rng([family, 2])
        found["power_first"] += is_promoted(rng, cell, sizes, 1, EFFECT)
        found["power_eighth"] += is_promoted(rng, cell, sizes, TRIES, EFFECT)
    return {way: promoted / count for way, promoted in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=1000, help="of each cell")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    cells: list[Cell] = list(product((20, 50), (1, PER_CLUSTER), (0.5, 1.5)))
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        found = pool.map(of_families, [(cell, args.families) for cell in cells], chunksize=1)
    rows = [
        {"clusters": num, "texts_of_a_cluster": texts, "size_sigma": sigma, **shares}
        for (num, texts, sigma), shares in zip(cells, found, strict=True)
    ]
    result = {
        "machine": describe(),
        "families": args.families,
        "tries": TRIES,
        "effect": EFFECT,
        "spread": SPREAD,
        "seconds": round(time.perf_counter() - began, 1),
        "highest_with_budget": max(each["with_budget"] for each in found),
        "highest_without": max(each["without"] for each in found),
        "rows": rows,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
