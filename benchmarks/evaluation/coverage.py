"""How often the evaluator's 95 % intervals hold the truth: a grid of simulations. Prints JSON.

    python benchmarks/evaluation/coverage.py [--simulations 2000] [--processes 2]

A cluster has one text, or five that share half of their variance (ICC .5). Sizes are lognormal (sigma .5 or 1.5), gains
have normal tails or Student's with 3 degrees of freedom, and the true gain per byte is the same for every size. The
rows of ten clusters are below the bar's grid: that is the fewest that the gate trusts. The last rows are 64
completions, at most four from each of 20 files, whose chances to parse differ by file.
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

from ropewalk.evaluator.domain.intervals import LEVEL
from ropewalk.evaluator.domain.metric import ItemScore
from ropewalk.evaluator.domain.statistics import example_share, per_byte

TRUTH, SPREAD, ICC, PER_CLUSTER = 0.05, 0.1, 0.5, 5  # bits per byte
Cell = tuple[int, float, str, int]  # clusters, sigma of the sizes, tails, texts of a cluster


def noise(rng: np.random.Generator, tails: str, count: int) -> NDArray[np.float64]:
    """Unit variance, (count,)."""
    return rng.normal(size=count) if tails == "normal" else rng.standard_t(3, size=count) / 3**0.5


def a_row(place: int, num_bytes: int, cluster: int) -> ItemScore:
    name = str(place)
    return ItemScore(
        metric="m", tasks="t", item_id=name, path=name, cluster=str(cluster), num_bytes=num_bytes, values={}
    )


def gains_are_covered(cell: Cell, seed: int) -> bool:
    """One simulation: whether the interval of the gain holds the true one."""
    (num, sigma, tails, texts), rng = cell, np.random.default_rng(seed)
    shared = ICC if texts > 1 else 0.0
    between, within = noise(rng, tails, num), noise(rng, tails, num * texts)
    gains = TRUTH + SPREAD * (shared**0.5 * np.repeat(between, texts) + (1 - shared) ** 0.5 * within)
    sizes = np.maximum(1, rng.lognormal(7, sigma, num * texts)).astype(int)
    rows = [a_row(place, int(size), place // texts) for place, size in enumerate(sizes)]
    interval = per_byte([float(each) for each in gains * sizes], rows, seed).interval
    return interval.lower <= TRUTH <= interval.upper


def shares_are_covered(rate: float, seed: int) -> bool:
    """The same of a parse rate: a file's own chance is beta distributed with the mean `rate` and an ICC of .5."""
    rng, files = np.random.default_rng(seed), np.repeat(np.arange(20), 4)[:64]
    chances = rng.beta(rate, 1 - rate, size=20)
    parsed = rng.random(64) < chances[files]
    rows = [a_row(place, 1, int(file)) for place, file in enumerate(files)]
    interval = example_share([float(each) for each in parsed], rows, seed).interval
    return interval.lower <= rate <= interval.upper


def covered(job: tuple[Cell | float, int]) -> float:
    """The share of `count` simulations whose interval holds the truth."""
    cell, count = job
    if isinstance(cell, float):
        return sum(shares_are_covered(cell, seed) for seed in range(count)) / count
    return sum(gains_are_covered(cell, seed) for seed in range(count)) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each cell")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    cells: list[Cell] = list(product((10, 20, 50, 200), (0.5, 1.5), ("normal", "t3"), (1, PER_CLUSTER)))
    rates = [0.05, 0.2, 0.5, 0.8]
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        asked: list[Cell | float] = [*cells, *rates]
        found = pool.map(covered, [(each, args.simulations) for each in asked], chunksize=1)
    grid = [
        {"clusters": num, "size_sigma": sigma, "tails": tails, "texts_of_a_cluster": texts, "covered": share}
        for (num, sigma, tails, texts), share in zip(cells, found, strict=False)
    ]
    of_bar = {cell: share for cell, share in zip(cells, found, strict=False) if cell[0] != 10}
    result = {
        "machine": describe(),
        "simulations": args.simulations,
        "level": LEVEL,
        "seconds": round(time.perf_counter() - began, 1),
        "lowest": min(of_bar.values()),
        "lowest_above_20": min(share for cell, share in of_bar.items() if cell[0] != 20),
        "highest": max(of_bar.values()),
        "grid": grid,
        "parse_rate": [{"rate": rate, "covered": each} for rate, each in zip(rates, found[len(cells) :], strict=True)],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
