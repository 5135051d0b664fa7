"""Write docs/measured.md and the figures of README.md from benchmarks/results: no figure is typed by hand."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def _demo_run(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["runs"][0])


def _interval(values: list[float]) -> str:
    return f"{values[0]:.2f} [{values[1]:.2f}, {values[2]:.2f}]"


def _quality(found: dict[str, Any]) -> str:
    run = _demo_run(found)
    rivals = ", ".join(f"{name} {run[name][0]:.2f}" for name in ("unigram", "bigram", "trigram"))
    return f"{_interval(run['bits_per_byte'])}; token {rivals}; the gate's opponent is the trigram"


def _recovery(found: dict[str, Any]) -> str:
    run = _demo_run(found)
    ledger = run["ledger"]
    return f"{max(run['recovery_s']):.1f} s, {ledger['num_skipped']} samples skipped, {ledger['num_repeated']} repeated"


def _consumers(found: dict[str, Any]) -> str:
    ways = ("bus consumer, as a service uses it", "bus consumer", "nats-py push", "FastStream default")
    return ", ".join(f"{found['cpu_us_per_event'][way]:.0f}" for way in ways) + " µs"


def _idle(found: dict[str, Any]) -> str:
    share, memory_gb = found["cpu_percent_median"], found["memory_mb"] / 1000
    return f"{share:.1f} % of one core, {memory_gb:.1f} GB, up in {found['up_s']:.0f} s"


def _judges(found: dict[str, Any]) -> str:
    corrected, raw = (found[f"win_rate_error_{name}_mean_and_mean_absolute"] for name in ("corrected", "raw"))
    return (
        f"{found['residual_interval_holds_0']:.3f}; off by {corrected[0]:+.4f} on average, uncorrected {raw[0]:+.4f} "
        f"({found['simulations']} panels)"
    )


def _drift(found: dict[str, Any]) -> str:
    return "; ".join(
        f"spread {spread}: {100 * one['share_found_within_200']:.0f} %, median {one['drift_found_after_median']}, "
        f"false alarms {100 * one['false_alarms_in_2000']:.1f} %"
        for spread, one in found["drift_of_0.3_by_spread"].items()
    )


def _labels_saved(found: dict[str, Any]) -> str:
    each = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found["share_of_labels"].items())
    return (
        f"{each}; mean {100 * found['share_of_labels_mean']:.0f} % ({found['simulations']['economy']:.0f} simulations)"
    )


def _gains(found: dict[str, Any]) -> str:
    held = [one["held_judged"] for cell, one in found["cells"].items() if cell.startswith("gain")]
    count = found["simulations"]["gain"]
    return (
        f"{sum(held) / len(held):.3f} on average, {min(held):.3f} to {max(held):.3f} ({count:.0f} simulations of each)"
    )


def _false_promotions(found: dict[str, Any]) -> str:
    with_budget, without = (
        sum(row[way] for row in found["promoted"].values()) / len(found["promoted"])
        for way in ("with_budget", "without")
    )
    highest = found["highest_with_budget"]
    return f"{with_budget:.3f}, {highest:.3f}; {without:.3f} ({found['families']:,} families of each)"


def _watching(found: dict[str, Any]) -> str:
    steps, worker = found["more_step_seconds_percent"], found["more_worker_cpu_percent"]
    return (
        f"+{steps['median']:.1f} % ({min(steps['each']):.1f} to {max(steps['each']):.1f}), +{worker['median']:.1f} %; "
        f"{found['with_a_loss_when_training_ended']} of {found['checkpoints']} (bar: 1 % of the step's seconds)"
    )


# What is measured, the figure, the script. A figure is written as the script measured it, also where it misses a bar.
def _small_judge(found: dict[str, Any]) -> str:
    (card,) = found["card"]["criteria"]
    shown = {each["name"]: [float(each[part]) for part in ("value", "lower", "upper")] for each in card["figures"]}
    wanted = ("rank correlation", "bias, in grades", "weighted kappa", "blank answer", "injected line")
    said = ("{}: {:.2f} [{:.2f}, {:.2f}]".format(name, *shown[name]) for name in wanted)
    return f"{card['verdict']}; {'; '.join(said)} ({card['num_labels']} answers, controls on 24 of them)"


ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str], str], ...] = (
    ("`ropewalk demo`, start to report card", lambda r: f"{r['seconds_median']:.0f} s", "demo"),
    ("peak memory of all its processes (PSS)", lambda r: f"{_demo_run(r)['peak_memory_mb'] / 1000:.1f} GB", "demo"),
    ("bits per byte on held-out files, 95 % interval", _quality, "demo"),
    ("worker killed → first new step", _recovery, "demo"),
    (
        "decoding, 8 streams and 1 (median of the rounds)",
        lambda r: f"{r['tokens_per_s_many']:,.0f}, {r['tokens_per_s_one']:,.0f} tokens/s: {r['ratio']:.1f} times",
        "decode",
    ),
    (
        "ten million requests through the monitor: control log, highest sample of its memory",
        lambda r: f"{r['control_bytes'] / 1e6:.2f} MB, {r['rss_mb_highest']} MB",
        "soak",
    ),
    (
        "idle stack (PSS)",
        _idle,
        "idle",
    ),
    (
        "commit of a stage: state and 3 messages, fsync (p50, p99)",
        lambda r: f"{r['commit_ms']['p50']:.1f}, {r['commit_ms']['p99']:.1f} ms",
        "bus_commit",
    ),
    (
        "request published → handler, 200 a second, fsync (p50, p99)",
        lambda r: f"{r['latency_ms']['200/s']['p50']:.1f}, {r['latency_ms']['200/s']['p99']:.1f} ms",
        "bus_latency",
    ),
    (
        "consume 1 kB, CPU: a service's handler, the bus library, raw nats-py, FastStream as it comes",
        _consumers,
        "bus_consume",
    ),
    (
        "1 % of the messages unreadable: dead letters, healed by a retry",
        lambda r: f"{r['dead_letters']} of {r['poison']} once, {r['healed_by_retry']} of {r['poison']}",
        "bus_poison",
    ),
    (
        "p99 of the healthy ones beside them, without poison and with it",
        lambda r: f"{r['healthy_ms_without_poison']['p99']:.1f}, {r['healthy_ms_with_poison']['p99']:.1f} ms",
        "bus_poison",
    ),
    (
        "broker away for 5 minutes: longest block of a service's loop, recovery after it is back",
        lambda r: f"{r['loop_blocked_ms_max']:.0f} ms, {r['recovery_s_max']:.1f} s",
        "outage",
    ),
    (
        "service killed → its stage runs elsewhere, 50 kills, leases of 2 s (p50, p99)",
        lambda r: f"{r['recovery_s_p50']:.1f}, {r['recovery_s_p99']:.1f} s",
        "recovery",
    ),
    (
        "200 leases held: heartbeats, client and server together",
        lambda r: f"{r['heartbeats_cpu_percent']:.1f} % of one core",
        "leases",
    ),
    (
        "rebuild every projection from the log, byte-equal to live",
        lambda r: f"{r['rebuild_events_per_s_median'] / 1000:.1f} k messages/s ({r['messages']:,} messages)",
        "replay",
    ),
    (
        "`ropewalk runs` with 10,000 runs, whole process",
        lambda r: f"{r['runs_command_ms_median']} ms",
        "replay",
    ),
    (
        "the gate's 95 % intervals hold the truth: lowest and highest of 24 kinds of data, 20 to 200 clusters",
        lambda r: f"{r['lowest']:.3f}, {r['highest']:.3f} ({r['simulations']:,} simulations of each)",
        "evaluation/coverage",
    ),
    (
        "the best of 8 candidates that are no better is promoted, 8 kinds of data: mean, highest; without a budget",
        _false_promotions,
        "evaluation/false_promotions",
    ),
    (
        "judges with a taste for the first, the longer, the own family: 95 % intervals of corrected win rates hold 0",
        _judges,
        "evaluation/judges",
    ),
    (
        "a judge that moves by .3 grade: found within 200 answers a person grades too; in 2,000 where none moves",
        _drift,
        "evaluation/judges",
    ),
    (
        "simulated judges as good as SummEval's: labels that an interval takes with them, of those without",
        _labels_saved,
        "evaluation/labels",
    ),
    (
        "one model less another by 20, 50, 200 labels and a judge, 12 kinds of data: 95 % intervals hold the truth",
        _gains,
        "evaluation/labels",
    ),
    (
        "mean of 500 items graded on another scale, told on 1-5 from 0 to 1, 8 kinds of links: mean error",
        lambda r: f"{r['bridge_mean_error']:.4f} ({r['simulations']['bridge']:.0f} simulations of each)",
        "evaluation/labels",
    ),
    (
        "the instruct model of 135 M weights that installs as a package, as a judge of lines made for a grade",
        _small_judge,
        "evaluation/small_judge",
    ),
    (
        "a validation loss of every checkpoint beside a short training: seconds of a step, CPU of the worker; losses "
        "that were there when training ended",
        _watching,
        "evaluation/validation_cost",
    ),
)

# size and context, the section of the check, the goal in percent
_MFU = (
    ("124 M at context 1,024, bf16", "124m-1024", 45),
    ("124 M at context 2,048, bf16", "124m-2048", 48),
    ("1 B at context 2,048, bf16", "1b-2048", 57),
    ("1 B at context 2,048, fp8", "1b-2048-fp8", 62),
)


def _against(value: float, goal: float, *, at_most: bool = False) -> str:
    """The goal, and by how much it is missed, in percent (points)."""
    missed = value - goal if at_most else goal - value
    return f"{'at most' if at_most else 'at least'} {goal:g} %" + (f", missed by {missed:.1f}" if missed > 0 else "")


def _gpu_rows(found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What, figure and goal."""
    for what, section, goal in _MFU:
        one = found[section]
        rate = f"{one['mfu_percent']:.1f} % MFU, {one['tokens_per_s']:,} tokens/s, {one['peak_gib']} GiB"
        yield what, rate, _against(one["mfu_percent"], goal)
    lost = found["saves"]["lost_percent_at_50_steps"]
    yield (
        "a save every 50 steps, 124 M: step time lost",
        f"{lost:.2f} %, within the noise",
        _against(lost, 0.5, at_most=True),
    )
    exact = [found[f"exact-{part}"] for part in ("first", "second", "resumed")]
    names = ("model.safetensors", "optimizer.safetensors", "last_loss")
    equal = len({tuple(one[name] for name in names) for one in exact}) == 1
    step_ms, free_ms = exact[0]["step_ms"], found["exact-cost"]["free_step_ms"]
    cost = 100 * (step_ms / free_ms - 1)
    yield (
        "bit-exact mode, 124 M: one run, its repetition and one resumed half way",
        f"bits {'equal' if equal else 'differ'}; {cost:+.1f} % ({step_ms:.0f} and {free_ms:.0f} ms)",
        _against(cost, 13, at_most=True),
    )
    curves = ", ".join(f"{found[f'learning-{name}']['last_20']:.3f}" for name in ("cpu", "bf16", "fp8"))
    yield "loss at the end of 300 steps of `nano`: CPU fp32, then from its step 8 on the card bf16, fp8", curves, ""


def figures() -> str:
    """The three lines of the README: how long, how good, how safe."""
    demo = json.loads((RESULTS / "demo.json").read_text())
    run = _demo_run(demo)
    rival = min(run[name][0] for name in ("unigram", "bigram", "trigram"))
    return "\n".join(
        [
            f"- **{demo['seconds_median']:.0f} s** from raw text to the report card on two cores, in"
            f" {run['peak_memory_mb'] / 1000:.1f} GB of memory",
            f"- **{run['bits_per_byte'][0]:.2f} bits per byte** on files the model never saw;"
            f" the best n-gram has {rival:.2f}",
            f"- **{max(run['recovery_s']):.1f} s** from a killed training worker to the next new step;"
            f" {run['ledger']['num_skipped']} samples skipped, {run['ledger']['num_repeated']} repeated",
        ]
    )


def page() -> str:
    """The text of docs/measured.md, without its first line."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    machine = json.loads((RESULTS / "demo.json").read_text())["machine"]
    yield "# Measured"
    yield ""
    yield f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']:.0f} GB, Python {machine['python']}."
    yield "`make bench` repeats it; raw figures, versions and spreads are in `benchmarks/results`. Each figure was"
    yield "taken on the day that is beside it, not necessarily on the present code."
    yield ""
    yield "| what | figure | script | day |"
    yield "|---|---|---|---|"
    for what, figure, script in ROWS:
        found = json.loads((RESULTS / f"{script.replace('/', '_')}.json").read_text())
        yield f"| {what} | {figure(found)} | `benchmarks/{script}.py` | {found['machine']['measured_at'][:10]} |"
    yield from _gpu_lines()


def _gpu_lines() -> Iterator[str]:
    found = json.loads((RESULTS / "training_gpu.json").read_text())
    machine = found["machine"]
    yield ""
    yield "## Training on one GPU"
    yield ""
    yield f"{machine['card']}, torch {machine['torch']}, driver {machine['driver']}, {machine['measured_at']}."
    yield "`make gpu-check` repeats it; [gpu.md](gpu.md) says what this does not cover."
    yield ""
    yield "| what | figure | goal |"
    yield "|---|---|---|"
    for what, figure, goal in _gpu_rows(found["sections"]):
        yield f"| {what} | {figure} | {goal} |"
