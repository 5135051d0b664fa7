"""How often the evaluator's 95 % intervals hold the truth: a grid of simulations.

    python benchmarks/evaluation/coverage.py [--simulations 2000] [--seconds 540] [--out FILE]

Goes round the cells in portions until each has its simulations or the time is up, and goes on from FILE the next time.

A cluster has one text, or five that share half of their variance (ICC .5). Sizes are lognormal (sigma .5 or 1.5), gains
have normal tails or Student's with 3 degrees of freedom, and the true gain per byte is the same for every size. The
rows of ten clusters are below the bar's grid: that is the fewest that the gate trusts. The last rows are 64
completions, at most four from each of 20 files, whose chances to parse differ by file.
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

from ropewalk.evaluator.domain.metric import ItemScore
from ropewalk.evaluator.domain.statistics import example_share, per_byte
from ropewalk.statistics.intervals import LEVEL

TRUTH, SPREAD, ICC, PER_CLUSTER = 0.05, 0.1, 0.5, 5  # bits per byte
PORTION = 20  # simulations
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


def covered(job: tuple[Cell | float, range]) -> int:
    """In how many simulations, by seed, the interval holds the truth."""
    cell, seeds = job
    if isinstance(cell, float):
        return sum(shares_are_covered(cell, seed) for seed in seeds)
    return sum(gains_are_covered(cell, seed) for seed in seeds)


def told(known: dict[str, list[int]], simulations: int) -> dict[str, object]:
    """The record; `known` has covered and simulated by cell."""
    shares = {cell: round(hits / count, 4) for cell, (hits, count) in known.items() if count}
    of_bar = {cell: share for cell, share in shares.items() if cell.startswith(("20 ", "50 ", "200 "))}
    return {
        "machine": describe(),
        "level": LEVEL,
        "simulations_wanted": simulations,
        "simulations": min(count for _, count in known.values()),
        "lowest": min(of_bar.values(), default=0.0),
        "lowest_above_20": min((share for cell, share in of_bar.items() if cell[:3] != "20 "), default=0.0),
        "highest": max(of_bar.values(), default=0.0),
        "covered": shares,
        "counts": known,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each cell")
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "evaluation_coverage.json")
    args = parser.parse_args()
    grid: list[Cell] = list(product((10, 20, 50, 200), (0.5, 1.5), ("normal", "t3"), (1, PER_CLUSTER)))
    cells: dict[str, Cell | float] = {
        f"{num} clusters of {texts}, sizes {sigma}, {tails}": (num, sigma, tails, texts)
        for num, sigma, tails, texts in grid
    } | {f"parse rate {rate}": rate for rate in (0.05, 0.2, 0.5, 0.8)}
    known = json.loads(args.out.read_text())["counts"] if args.out.exists() else {name: [0, 0] for name in cells}
    ends = time.monotonic() + args.seconds
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        while time.monotonic() < ends and (
            left := [name for name, (_, count) in known.items() if count < args.simulations]
        ):
            jobs = [(cells[name], range(known[name][1], known[name][1] + PORTION)) for name in left]
            for name, hits in zip(left, pool.imap(covered, jobs), strict=True):
                known[name] = [known[name][0] + hits, known[name][1] + PORTION]
            args.out.write_text(json.dumps(told(known, args.simulations), indent=1) + "\n")


if __name__ == "__main__":
    main()
