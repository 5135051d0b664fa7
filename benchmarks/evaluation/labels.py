"""What judges save of people's labels, how often the intervals hold the truth, and how far linked scales are apart.

    python benchmarks/evaluation/labels.py [--simulations 400] [--seconds 540] [--out FILE]

Goes round the cells in portions until each has its simulations or the time is up, and goes on from FILE the next time.
Every world is simulated; no figure here was measured on people.

`economy`: 1,600 summaries of 100 documents, labelled by three experts from 1 to 5, six judges with common errors. Their
noise is set so that, calibrated, they correlate with the experts as the best calibrated judging of SummEval did: .741
for consistency, .557 for fluency, .573 for relevance (what 2.22, 1.45 and 1.49 times the labels come from); coherence
was not told and is taken as relevance. Consistency and fluency are skewed, most labels being the best there is.
`evenly` draws all items alike; `by_doubt` a quarter of the labels so, the others by the doubt that these leave. Shares
of labels are those at 100 labels, drawn by doubt.

`gain`: two models on the same 500 items, labels skewed or not, in clusters of 5 with an ICC of .5 or alone.

`bridge`: 200 items graded on 1-5 and on another scale make a link; 500 others, better by .3, are graded on the other
one alone. `skewed`: qualities are not normal, as the model takes them to be.
"""

import argparse
import functools
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe

from ropewalk.evaluator.domain.calibration.isotonic import fitted
from ropewalk.evaluator.domain.calibration.judged import (
    Calibrated,
    JudgedItems,
    NotMeasurable,
    calibrated_gain,
    calibrated_mean,
)
from ropewalk.evaluator.domain.calibration.labels import doubt, draw, in_either, inclusion
from ropewalk.evaluator.domain.scales.grades import SCALES, ScaledGrade
from ropewalk.evaluator.domain.scales.link import Pair, Rated, link
from ropewalk.statistics.intervals import Interval

Floats = NDArray[np.float64]
CRITERIA = {  # correlation of calibrated judges, where the experts' highest grades begin
    "coherence": (0.573, 1.3),
    "consistency": (0.741, -1.0),
    "fluency": (0.557, -0.8),
    "relevance": (0.573, 1.3),
}
DOCUMENTS, SYSTEMS, JUDGES, COMMON, OF_DOCUMENT = 100, 16, 6, 0.5, 0.05
FEW, PORTION, SPAN = (40, 100, 200), 10, (1.0, 5.0)
ITEMS, EFFECT = 500, 0.1
SIMULATED = {"economy": 1.0, "gain": 1.0, "bridge": 0.1}  # shares of --simulations
NAMES = {
    "economy": ("width_alone", "width_evenly", "width_by_doubt", "held_alone", "held_evenly", "held_by_doubt"),
    "gain": ("width_alone", "width_judged", "held_alone", "held_judged", "claimed_too_much"),
    "bridge": ("mean_error", "squared_error", "squared_error_of_a_rater"),
}


def graded(latent: Floats, highest: float) -> Floats:
    """From 1 to 5; the highest grade from `highest` on, the others a standard deviation apart below it."""
    return np.asarray(np.clip(5.0 + np.ceil(latent - highest - 1), 1, 5))


def summaries(rng: np.random.Generator, documents: int, reliability: float, highest: float) -> tuple[Floats, Floats]:
    """The experts' mean label (items,) and the judges' scores (items, judges), lenient and coarser than people."""
    count = documents * SYSTEMS
    shared = np.repeat(rng.normal(size=documents), SYSTEMS)
    quality = OF_DOCUMENT**0.5 * shared + (1 - OF_DOCUMENT) ** 0.5 * rng.normal(size=count)
    labels = np.mean([graded(quality + 0.6 * rng.normal(size=count), highest) for _ in range(3)], axis=0)
    common, own = rng.normal(size=(count, 1)), rng.normal(size=(count, JUDGES))
    kept = reliability * np.linspace(1, 0.8, JUDGES)  # the first is the best
    noise = (1 - kept**2) ** 0.5 * (COMMON**0.5 * common + (1 - COMMON) ** 0.5 * own)
    return labels, 5 / (1 + np.exp(-1.5 * (kept * quality[:, None] + noise)))


@functools.cache
def of_criterion(name: str) -> tuple[float, float]:
    """How reliable judges have to be for the correlation that was measured, and the true mean label."""
    wanted, highest = CRITERIA[name]
    low, high = 0.1, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        labels, scores = summaries(np.random.default_rng(0), 400, middle, highest)
        learned, tested = slice(None, len(labels) // 2), slice(len(labels) // 2, None)
        predicted = fitted(scores[learned], labels[learned])(scores[tested])
        low, high = (middle, high) if np.corrcoef(labels[tested], predicted)[0, 1] < wanted else (low, middle)
    labels, _ = summaries(np.random.default_rng(1), 20000, middle, highest)
    return middle, float(labels.mean())


def economy(seed: int, criterion: str, count: int) -> list[float]:
    reliability, truth = of_criterion(criterion)
    rng = np.random.default_rng(seed)
    labels, scores = summaries(rng, DOCUMENTS, reliability, CRITERIA[criterion][1])
    clusters = np.repeat(np.arange(DOCUMENTS), SYSTEMS).tolist()
    found = []
    for chances, drawn in (evenly(scores, count, seed), by_doubt(labels, scores, count, seed)):
        known = np.full(len(labels), np.nan)
        known[drawn] = labels[drawn]
        items = JudgedItems(scores=scores, labels=known, chances=chances, clusters=clusters, span=SPAN)
        found.append(measured(calibrated_mean(items, seed=1)))
    three = (found[0].labels_only, found[0].interval, found[1].interval)
    return [width(each) for each in three] + [holds(each, truth) for each in three]


def evenly(scores: Floats, count: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """The chances, and who was drawn."""
    chances = inclusion(np.ones(len(scores)), count)
    return chances, draw(chances, scores[:, 0], seed)


def by_doubt(labels: Floats, scores: Floats, count: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """A quarter evenly; what these predict says how many of the others to draw where."""
    chances, drawn = evenly(scores, count // 4, seed)
    predicted = fitted(scores[drawn], labels[drawn])(scores)
    again = inclusion(doubt(predicted, SPAN), count - count // 4)
    return in_either(chances, again), np.union1d(drawn, draw(again, predicted, seed + 1))


def gain(seed: int, count: int, skewed: bool, per_cluster: int) -> list[float]:
    rng = np.random.default_rng(seed)
    highest = -0.5 if skewed else 1.3
    truth = true_gain(highest)
    shared = 0.5 if per_cluster > 1 else 0.0
    clusters = np.arange(ITEMS) // per_cluster
    ours, theirs = answers(rng, clusters, shared, highest)
    drawn = rng.permutation(ITEMS)[:count]
    sides = []
    for labels, scores in (ours, theirs):
        known = np.full(ITEMS, np.nan)
        known[drawn] = labels[drawn]
        chances = np.full(ITEMS, count / ITEMS)
        sides.append(JudgedItems(scores=scores, labels=known, chances=chances, clusters=clusters.tolist(), span=(1, 5)))
    found = measured(calibrated_gain(sides[0], sides[1], seed=1))
    two = (found.labels_only, found.interval)
    return [*map(width, two), *(holds(each, truth) for each in two), float(found.interval.lower > truth)]


def answers(
    rng: np.random.Generator, clusters: NDArray[np.int64], shared: float, highest: float
) -> list[tuple[Floats, Floats]]:
    """Of our model and theirs: labels (items,), a judge's scores (items, 1). Half of the variance is the item's."""
    count = len(clusters)
    item = rng.normal(size=count)
    found = []
    for effect in (EFFECT, 0.0):
        group, own = rng.normal(size=int(clusters.max()) + 1)[clusters], rng.normal(size=count)
        quality = effect + 0.5**0.5 * (item + shared**0.5 * group + (1 - shared) ** 0.5 * own)
        labels = graded(quality + 0.5 * rng.normal(size=count), highest)
        found.append((labels, 1 / (1 + np.exp(-(quality[:, None] + 0.8 * rng.normal(size=(count, 1)))))))
    return found


@functools.cache
def true_gain(highest: float) -> float:
    ours, theirs = answers(np.random.default_rng(1), np.arange(1_000_000), 0.0, highest)
    return float((ours[0] - theirs[0]).mean())


def bridge(seed: int, scale_id: str, skewed: bool) -> list[float]:
    rng = np.random.default_rng(seed)
    old, new = qualities(rng, 200, skewed), 0.3 + qualities(rng, ITEMS, skewed)
    names, others = [f"old{n}" for n in range(200)], [f"new{n}" for n in range(ITEMS)]
    anchors = grades(rng, "1-5", names, old)
    if scale_id == "pairwise":
        made = link(anchors, games(rng, (names, old), (names, old), 4))
        told = made.expected(anchors, games(rng, (others, new), (names, old), 4))
    else:
        made = link(anchors + grades(rng, scale_id, names, old))
        told = made.expected(grades(rng, scale_id, others, new))
    found = np.array([told[name] for name in others])
    truth = true_grades(new)
    rater = np.array([(each.grade.value - 1) / 4 for each in grades(rng, "1-5", others, new)])
    return [
        abs(float((found - truth).mean())),
        float(((found - truth) ** 2).mean()),
        float(((rater - truth) ** 2).mean()),
    ]


def qualities(rng: np.random.Generator, count: int, skewed: bool) -> Floats:
    return 1 - rng.gamma(1.0, size=count) if skewed else rng.normal(size=count)


def thresholds(levels: int) -> Floats:
    return np.linspace(-1.6, 1.6, levels - 1) if levels > 2 else np.zeros(1)


def true_grades(quality: Floats) -> Floats:
    """What a rater on 1-5 is expected to say, from 0 to 1."""
    return np.asarray((1 / (1 + np.exp(-3.0 * (quality[:, None] - thresholds(5))))).mean(axis=1))


def grades(rng: np.random.Generator, scale_id: str, names: list[str], quality: Floats) -> list[Rated]:
    scale = SCALES[scale_id]
    said = quality + rng.logistic(scale=1 / 3.0, size=len(quality))
    places = (said[:, None] > thresholds(scale.levels)).sum(axis=1)
    return [
        Rated(name, scale_id, ScaledGrade(scale_id, scale.lowest + int(place) * scale.step))
        for name, place in zip(names, places, strict=True)
    ]


def games(
    rng: np.random.Generator, ours: tuple[list[str], Floats], theirs: tuple[list[str], Floats], each: int
) -> list[Pair]:
    """Every one of ours against `each` of theirs, never itself."""
    found = []
    for name, quality in zip(*ours, strict=True):
        for other in rng.permutation(len(theirs[0]))[:each]:
            won = quality - theirs[1][other] + rng.logistic(scale=1 / 2.0) > 0
            if name != theirs[0][other]:
                found.append(Pair(name, theirs[0][other], float(won)))
    return found


def measured(found: Calibrated | NotMeasurable) -> Calibrated:
    assert isinstance(found, Calibrated)
    return found


def width(interval: Interval) -> float:
    return interval.upper - interval.lower


def holds(interval: Interval, truth: float) -> float:
    return float(interval.lower <= truth <= interval.upper)


def summed(job: tuple[tuple[object, ...], range]) -> list[float]:
    """The number of simulations and the sums of what each tells, in the order of NAMES."""
    (kind, *rest), seeds = job
    worlds: dict[str, Callable[..., list[float]]] = {"economy": economy, "gain": gain, "bridge": bridge}
    rows = [worlds[str(kind)](seed, *rest) for seed in seeds]
    return [float(len(rows)), *np.sum(rows, axis=0).tolist()]


def told(known: dict[str, list[float]]) -> dict[str, object]:
    means: dict[str, dict[str, float]] = {}
    for cell, (count, *sums) in known.items():
        if count:
            names = NAMES[cell.split()[0]]
            means[cell] = {name: total / count for name, total in zip(names, sums, strict=True)}
    judged = {name: means.get(f"economy of {name}, 100 labels") for name in CRITERIA}
    criteria = {name: each["width_by_doubt"] ** 2 / each["width_alone"] ** 2 for name, each in judged.items() if each}
    gains = [each["held_judged"] for cell, each in means.items() if cell.startswith("gain")]
    bridges = [each["mean_error"] for cell, each in means.items() if cell.startswith("bridge")]
    return {
        "machine": describe(),
        "simulations": {kind: min(c[0] for cell, c in known.items() if cell.startswith(kind)) for kind in SIMULATED},
        "share_of_labels": {name: round(share, 3) for name, share in criteria.items()},
        "share_of_labels_best": round(min(criteria.values(), default=1.0), 3),
        "share_of_labels_mean": round(float(np.mean([*criteria.values()] or [1.0])), 3),
        "gain_held_lowest_and_highest": [round(min(gains, default=0), 4), round(max(gains, default=0), 4)],
        "bridge_mean_error": round(float(np.mean(bridges)), 4) if bridges else None,
        "cells": {cell: {name: round(value, 5) for name, value in each.items()} for cell, each in means.items()},
        "sums": known,
    }


def cells() -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for name, count in product(CRITERIA, FEW):
        found[f"economy of {name}, {count} labels"] = ("economy", name, count)
    for count, skewed, size in product((20, 50, 200), (False, True), (1, 5)):
        shape = "skewed" if skewed else "even"
        found[f"gain of {count} labels, {shape}, clusters of {size}"] = ("gain", count, skewed, size)
    for scale, skewed in product(("0-1", "0-1 by tenths", "1-10", "pairwise"), (False, True)):
        found[f"bridge from {scale}, {'skewed' if skewed else 'normal'}"] = ("bridge", scale, skewed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400, help="of each cell; a tenth of it for bridges")
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "evaluation_labels.json")
    args = parser.parse_args()
    jobs = cells()
    known = {name: [0.0] * (1 + len(NAMES[str(job[0])])) for name, job in jobs.items()}
    known |= json.loads(args.out.read_text())["sums"] if args.out.exists() else {}
    wanted = {name: args.simulations * SIMULATED[str(job[0])] for name, job in jobs.items()}
    ends = time.monotonic() + args.seconds
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        while time.monotonic() < ends and (left := [name for name in jobs if known[name][0] < wanted[name]]):
            portions = {name: max(1, round(PORTION * SIMULATED[str(jobs[name][0])])) for name in left}
            seeds = [range(int(known[name][0]), int(known[name][0]) + portions[name]) for name in left]
            for name, sums in zip(
                left, pool.imap(summed, zip([jobs[name] for name in left], seeds, strict=True)), strict=True
            ):
                known[name] = [old + new for old, new in zip(known[name], sums, strict=True)]
            args.out.write_text(json.dumps(told(known), indent=1) + "\n")


if __name__ == "__main__":
    main()
