"""The part of docs/measured.md about faults, overhead, peers and forecasts of training."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def _damage(found: dict[str, Any]) -> str:
    return (
        f"{found['cases']:,} cases: {found['accepted']} accepted, {found['runs_lost']} runs lost, "
        f"{found['without_event']} without an event ({found['server']})"
    )


def _seconds(found: dict[str, Any], what: str) -> str:
    below, under = found["below_ray"][what], found["under_ray"][what]
    alone = ", ".join(f"{each:.1f}" for each in sorted(below["seconds"]))
    return f"{alone} s; under Ray {', '.join(f'{each:.1f}' for each in under['seconds'])} s"


def _faults(found: dict[str, Any]) -> str:
    return (
        f"{found['num_struck']} runs: seen after {found['most_steps_until_seen']} steps, loss within "
        f"{100 * found['largest_loss_difference']:.2f} %, {found['num_bad_checkpoints']} bad checkpoints"
    )


def _poison(found: dict[str, Any]) -> str:
    return (
        f"{found['num_poisoned']} runs: named after at most {found['most_restarts_until_named']} restarts, "
        f"{found['num_wrongly_named']} wrongly, loss within {100 * found['largest_loss_difference_poisoned']:.2f} %"
    )


def _overhead(found: dict[str, Any]) -> str:
    return "; ".join(
        f"{row['size']}, {row['ranks']} rank{'s' * (row['ranks'] > 1)}: {100 * row['overhead']:.1f} % "
        f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        for row in found["rows"]
    )


def _unread(found: dict[str, Any]) -> str:
    rows = found["rows"]
    lost = sum(row["rows_lost"] + row["checkpoints_lost"] for row in rows)
    return f"{max(100 * row['overhead_unread'] for row in rows):.1f} % at most, {lost} lost"


def _speed(found: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} {one['our_tokens_per_s_over_its']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
        for name, one in found["speed"].items()
        if name != "ropewalk"
    )


def _quality(found: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} {one['bits_per_byte']:+.2f} [{one['low']:.2f}, {one['high']:.2f}]"
        for name, one in found["less_than"].items()
    )


def _watch(found: dict[str, Any]) -> str:
    stops = max(loss["seconds_to_the_post_mortem"] for loss in found["lost"]["losses"])
    slow = max(one["after_steps"] for one in found["half_speed"])
    calm = found["undisturbed"]
    return (
        f"{stops:.1f} s; {slow} steps; {len(calm['stragglers_named']) + len(calm['losses'])} false in {calm['steps']:,}"
    )


def _search(found: dict[str, Any]) -> str:
    everything = found["all"]
    steps, better = everything["share_of_grid_steps_16_trials"], everything["better_than_none"]
    return (
        f"{everything['percent_over_grid_best_worst']:.1f} % at worst, {100 * steps:.0f} % of the steps; "
        f"better in {100 * better:.0f} % of {everything['replays']}, so it is off"
    )


def _quote(found: dict[str, Any]) -> str:
    return (
        f"time within {found['worst_time_error_percent']} %, loss within {found['worst_loss_error_percent']} %, "
        f"interval covers {found['covered']}"
    )


def _elastic(found: dict[str, Any]) -> str:
    return (
        f"{found['equal_bits_at_load']} of {found['pairs']} equal at load, {found['same_order']} in the same order, "
        f"loss within {found['worst_difference']:.0e} over {found['steps_after']} steps"
    )


# What, figure, script (its record is training_<script>.json), goal.
ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str], str, str], ...] = (
    (
        "`kill -9` at chosen instants, 1 and 2 ranks, ddp, fsdp, ZeRO-2: bits, ledger, rows of metrics",
        lambda r: f"{r['kills']} kills, {r['faults']} differences",
        "kills",
        "0",
    ),
    ("a checkpoint of 1, 2, 3 ranks × 5 strategies goes on in any other", _elastic, "elastic", "1e-5"),
    ("damaged checkpoints", _damage, "damage", "0, 0, 0"),
    ("infinite, NaN and huge weights, NaN batch, spike", _faults, "faults", "1 step, 0.5 %, 0"),
    ("a sample that kills its process", _poison, "faults", "3 restarts, 0.5 %"),
    ("worker killed → first new step, warm", lambda r: _seconds(r, "warm"), "recovery", "below 3 s"),
    ("its fork server killed, too", lambda r: _seconds(r, "cold"), "recovery", "below 12 s"),
    (
        "a kill every 30 s for 10 minutes: productive",
        lambda r: f"{100 * r['productive']:.0f} % ({r['kills']} kills)",
        "goodput_under_fire",
        "85 %",
    ),
    (
        "account of a run's seconds against wall time",
        lambda r: f"{r['off_percent']:.1f} % off",
        "account",
        "1 %",
    ),
    ("stopped rank named; rank at half speed named; false alarms", _watch, "watch", "15 s; 50 steps; 0 in 1,000"),
    ("CPU of the default strategy over the same bare loop", _overhead, "overhead", "below 2 %"),
    ("the same while nobody takes the reports", _unread, "unread", "below 2 %, 0"),
    ("tokens per CPU second with AdamW, ours over theirs, nano", _speed, "peers", "1.05"),
    ("bits per byte at equal CPU seconds, ours less theirs tuned, nano, 3 seeds", _quality, "peers", "below 0"),
    ("search with 16 trials: over the grid's best, its steps; against no search", _search, "search", "2 %, 35 %; 80 %"),
    ("quotes of held-out trainings", _quote, "quote", "15 %, 5 %, all"),
)


def section() -> str:
    """The text of it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield ""
    yield "## Training on CPUs: faults, overhead, peers"
    yield ""
    yield "`make training-bars` repeats it. Most was taken beside other work on the machine: the records hold the load."
    yield ""
    yield "| what | figure | goal | script |"
    yield "|---|---|---|---|"
    for what, figure, script, goal in ROWS:
        found = json.loads((RESULTS / f"training_{script}.json").read_text())
        yield f"| {what} | {figure(found)} | {goal} | `benchmarks/training/{script}.py` |"
