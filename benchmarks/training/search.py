"""Whether the search helps: real loss curves once, then many replays of the search's own decisions on them.

    python benchmarks/training/search.py curves --out benchmarks/results/training_search_curves.json   # minutes
    python benchmarks/training/search.py replay --out benchmarks/results/training_search.json          # a second

`curves` trains every factor of a 16-trial search to the full length, for tasks whose derived rates fit more or less
(other batches and widths) and for several seeds, with the worker's own loop. A rung's loss is read off such a curve,
because a trial runs the schedule of the whole training. `replay` hands the
rungs to `domain/search.py` and compares what it chose with the best of the grid and with the derived rates (factor 1).
A replay leaves out a random quarter of the trials (never the first), so that one table gives many.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe

from ropewalk.recipes.dial import complete
from ropewalk.recipes.ladder import Ladder, ladder_of
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.trainer.domain.search import Place, factor_of, left_to_run, rung_loss

TRIALS, STEPS, LEFT_OUT = 16, 240, 0.25
TASKS: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {
    "tiny": ({}, (17, 18, 19, 20)),
    "batch of 1 window": ({"batch_size": 1}, (17, 18)),
    "batch of 16 windows": ({"batch_size": 16}, (17,)),
}


def main() -> None:
    """Train the curves, or replay on them; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["curves", "replay"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--curves", type=Path, default=Path("benchmarks/results/training_search_curves.json"))
    parser.add_argument("--replays", type=int, default=50, help="of each task and seed")
    options = parser.parse_args()
    if options.what == "curves":
        _train_curves(options.out)
        return
    found = _replayed(json.loads(options.curves.read_text()), options.replays)
    text = json.dumps(found, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _train_curves(out: Path) -> None:
    from parts.short_training import Ground, ground, plan_of

    found: dict[str, Any] = {"machine": describe(), "steps": STEPS, "curves": []}
    with ground() as root:
        for task, (changes, seeds) in TASKS.items():
            plan = plan_of("tiny", total_steps=STEPS, warmup_steps=20, decay_start=STEPS * 6 // 10, **changes)
            for seed in seeds:
                for factor in sorted(map(factor_of, range(TRIALS))):
                    losses = Ground(Path(root)).train(plan, STEPS, factor=factor, seed=seed).losses
                    row = {"task": task, "seed": seed, "factor": factor, "losses": [round(loss, 3) for loss in losses]}
                    found["curves"].append(row)
                    print(task, seed, round(factor, 3), round(fmean(losses[-20:]), 4), file=sys.stderr, flush=True)
                out.write_text(_compact(found))


def _replayed(curves: dict[str, Any], num_replays: int) -> dict[str, Any]:
    """Replays of every task and seed whose curves are whole."""
    grids: dict[tuple[str, int], dict[int, list[float]]] = defaultdict(dict)
    numbers = {factor_of(trial): trial for trial in range(TRIALS)}
    for curve in curves["curves"]:
        grids[curve["task"], curve["seed"]][numbers[curve["factor"]]] = curve["losses"]
    rows = []
    for (task, seed), grid in grids.items():
        if len(grid) < TRIALS:
            continue
        chance = random.Random(f"{task}/{seed}")
        replays = [_replay(grid), *(_replay(_thinned(grid, chance)) for _ in range(num_replays))]
        rows.append({"task": task, "seed": seed, **_summed(replays), "with_all_trials": replays[0]})
    return {"machine": curves["machine"], "steps": STEPS, "all": _summed_rows(rows), "tasks": rows}


def _thinned(grid: dict[int, list[float]], chance: random.Random) -> dict[int, list[float]]:
    return {trial: losses for trial, losses in grid.items() if trial == 0 or chance.random() > LEFT_OUT}


def _replay(grid: dict[int, list[float]]) -> dict[str, float]:
    """One search whose trial numbers are places in what is left of the grid, trial 0 first."""
    kept = sorted(grid)
    ladder = _ladder(len(kept))
    losses: dict[Place, float] = {}
    steps = 0
    while wanted := left_to_run(ladder, losses):
        for trial, rung in wanted:
            end, begin = ladder.steps[rung], ladder.steps[rung - 1] if rung else 0
            losses[trial, rung] = rung_loss(grid[kept[trial]][:end], end)
            steps += end - begin
    last = len(ladder.counts) - 1
    chosen = kept[min((loss, trial) for (trial, rung), loss in losses.items() if rung == last)[1]]
    ends = {trial: fmean(grid[trial][-20:]) for trial in kept}
    return {
        "factor": round(factor_of(chosen), 3),
        "loss": round(ends[chosen], 4),
        "best_of_grid": round(min(ends.values()), 4),
        "without_search": round(ends[0], 4),
        "share_of_grid_steps": round(steps / (len(kept) * STEPS), 4),
    }


def _ladder(num_trials: int) -> Ladder:
    source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
    recipe = complete(Recipe(sources=(source,), size="tiny", minutes=0.2, trials=num_trials))
    assert recipe.derived.total_steps == STEPS
    return ladder_of(recipe)


def _summed(replays: list[dict[str, float]]) -> dict[str, float]:
    over = [100 * (each["loss"] / each["best_of_grid"] - 1) for each in replays]
    return {
        "replays": len(replays),
        "better_than_none": round(fmean(each["loss"] < each["without_search"] for each in replays), 3),
        "same_as_none": round(fmean(each["loss"] == each["without_search"] for each in replays), 3),
        "none_is_best": round(fmean(each["without_search"] == each["best_of_grid"] for each in replays), 3),
        "percent_over_grid_best_median": round(median(over), 2),
        "percent_over_grid_best_worst": round(max(over), 2),
        "within_2_percent": round(fmean(each <= 2 for each in over), 3),
        "share_of_grid_steps": round(max(each["share_of_grid_steps"] for each in replays), 3),
    }


def _summed_rows(rows: list[dict[str, Any]]) -> dict[str, float]:
    def over_all(name: str) -> Iterator[float]:
        return (row[name] for row in rows)

    return {
        "replays": sum(over_all("replays")),
        **{name: round(fmean(over_all(name)), 3) for name in ("better_than_none", "same_as_none", "none_is_best")},
        "within_2_percent": round(fmean(over_all("within_2_percent")), 3),
        "percent_over_grid_best_worst": max(over_all("percent_over_grid_best_worst")),
        "share_of_grid_steps_16_trials": max(row["with_all_trials"]["share_of_grid_steps"] for row in rows),
        "share_of_grid_steps_worst": max(over_all("share_of_grid_steps")),
    }


def _compact(found: dict[str, Any]) -> str:
    """One line for each curve."""
    curves = ",\n".join(json.dumps(curve, separators=(",", ":")) for curve in found["curves"])
    head = json.dumps({name: value for name, value in found.items() if name != "curves"}, indent=1)
    return head.removesuffix("\n}") + ',\n "curves": [\n' + curves + "\n]}\n"


if __name__ == "__main__":
    main()
