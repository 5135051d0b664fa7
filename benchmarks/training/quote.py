"""Whether a quote holds: train proxies, fit the law to some of them, predict the others, compare.

    python benchmarks/training/quote.py proxies --out benchmarks/results/training_proxies.json   # two CPU minutes
    python benchmarks/training/quote.py law                                                     # for scaling_law.py
    python benchmarks/training/quote.py outcome --out benchmarks/results/training_quote.json    # a second

The proxies are short trainings on the standard library of this Python with the worker's own loop, one rank, one
thread. Times are CPU seconds. Those marked `held_out` are in no fit.
"""

import argparse
import json
import math
import random
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from machine import describe

from ropewalk.recipes.device_table import device_kind, step_seconds
from ropewalk.recipes.model_shape import ModelShape
from ropewalk.recipes.scaling_law import Law, counted_weights, expected_bits

_DRAWS = 40
_FLOOR_S = device_kind("cpu").step_floor_s
_FLOOR, _FLOORS = 0.6, (0.3, 1.0)  # bits per byte: no short training tells it

# size whose vocabulary, context and batch it has, width, steps, whether it is held out
PROXIES: tuple[tuple[str, int, int, bool], ...] = (
    *(("tiny", width, steps, False) for width in (16, 32, 64) for steps in (60, 120, 240, 480)),
    *(("nano", width, steps, False) for width in (64, 128) for steps in (30, 60, 120)),
    ("tiny", 96, 360, True),
    ("tiny", 32, 960, True),
    ("tiny", 48, 180, True),
    ("nano", 96, 180, True),
    ("nano", 128, 240, True),
)


def main() -> None:
    """One of the three parts; prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["proxies", "law", "outcome"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--proxies", type=Path, default=Path("benchmarks/results/training_proxies.json"))
    options = parser.parse_args()
    if options.what == "proxies":
        _train_proxies(options.out)
        return
    proxies = json.loads(options.proxies.read_text())
    if options.what == "law":
        print(_table(proxies))
        return
    text = json.dumps(_outcome(proxies), indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _train_proxies(out: Path) -> None:
    from parts.short_training import Ground, ground, plan_of, text_of

    found: dict[str, Any] = {"machine": describe(), "texts": {}, "proxies": []}
    order = list(PROXIES)
    random.Random(3).shuffle(order)  # a machine that slows down meanwhile slows all kinds alike
    with ground() as root:
        for size, width, steps, held_out in order:
            plan = plan_of(
                size,
                hidden_size=width,
                total_steps=steps,
                warmup_steps=min(20, steps // 10),
                decay_start=steps * 6 // 10,
            )
            trained = Ground(Path(root)).train(plan, steps)
            if size not in found["texts"]:
                found["texts"][size] = text_of(Path(root), plan)
            found["proxies"].append(
                {
                    "size": size,
                    "held_out": held_out,
                    "plan": {name: getattr(plan, name) for name in _SHAPE},
                    "steps": steps,
                    "loss": round(fmean(trained.losses[-20:]), 4),
                    "step_cpu_s": round(trained.step_cpu_s(), 6),
                }
            )
            print(size, width, steps, found["proxies"][-1], file=sys.stderr, flush=True)
            out.write_text(json.dumps(found, indent=1) + "\n")


def _fit(rows: list[dict[str, Any]], texts: dict[str, dict[str, float]], floor: float, begin: Any) -> Any:
    """Parameters of the law with that floor, by least squares on the logarithm of bits per byte with a soft edge."""
    from scipy.optimize import least_squares

    weights = np.array([counted_weights(_shape(row)) for row in rows], dtype=float)
    read = np.array([_bytes(row, texts) for row in rows])
    target = np.log([_bits(row, texts) for row in rows])

    def misfit(numbers: Any) -> Any:
        a, alpha, b, beta = np.exp(numbers)
        return np.log(floor + a / weights**alpha + b / read**beta) - target

    return least_squares(misfit, begin, loss="soft_l1", f_scale=0.02, max_nfev=2000).x


def _laws(proxies: dict[str, Any]) -> tuple[list[list[float]], float]:
    """The fit to all proxies that are not held out, then to resamples of them; and the relative misfit of the first."""
    rows, texts = [row for row in proxies["proxies"] if not row["held_out"]], proxies["texts"]
    whole = _fit(rows, texts, _FLOOR, np.log([20.0, 0.4, 16.0, 0.2]))
    chance = random.Random(5)
    drawn = [(_FLOOR, whole)]
    for _ in range(_DRAWS):
        floor = chance.uniform(*_FLOORS)
        drawn.append((floor, _fit(chance.choices(rows, k=len(rows)), texts, floor, whole)))
    laws = [[float(f"{number:.5g}") for number in (floor, *np.exp(fitted))] for floor, fitted in drawn]
    law = Law(*laws[0])
    misfits = [
        math.log(law.bits_per_byte(counted_weights(_shape(row)), _bytes(row, texts)) / _bits(row, texts))
        for row in rows
    ]
    return laws, math.sqrt(sum(each**2 for each in misfits) / (len(rows) - 4))


def _table(proxies: dict[str, Any]) -> str:
    """`libs/ropewalk/recipes/fitted_law.py`."""
    laws, residual = _laws(proxies)
    rows, texts = [row for row in proxies["proxies"] if not row["held_out"]], proxies["texts"]
    vocabularies = {row["size"]: row["plan"]["vocab_size"] for row in rows}
    rates = {vocabularies[size]: text["bytes_per_token"] for size, text in texts.items()}
    on = {
        "weights": [counted_weights(_shape(row)) for row in rows],
        "bytes": [round(_bytes(row, texts)) for row in rows],
    }
    lines = [
        '"""The law of `scaling_law`, as `benchmarks/training/quote.py law` printed it."""',
        "",
        f'MEASURED_AT = "{proxies["machine"]["measured_at"][:10]}"',
        f"FITTED_ON = { ({name: (min(values), max(values)) for name, values in on.items()}) }",
        f"RESIDUAL = {residual:.4f}  # of the logarithm of the bits per byte",
        f"BYTES_PER_TOKEN = {rates}",
        "# floor, weights, their power, bytes, their power: the fit to all, then to resamples with floors of their own",
        "LAWS = (",
        *(f"    ({', '.join(map(str, law))})," for law in laws),
        ")",
    ]
    return "\n".join(lines)


def _outcome(proxies: dict[str, Any]) -> dict[str, Any]:
    """Held-out proxies against what is predicted for them from the others."""
    fit, texts = [row for row in proxies["proxies"] if not row["held_out"]], proxies["texts"]
    floor, pace = _calibrated(fit)
    rows = []
    for row in proxies["proxies"]:
        if row["held_out"]:
            loss = expected_bits(_shape(row), _bytes(row, texts), same_text=True).times(_nats_of_bits(row, texts))
            seconds = floor + pace * (_step_s(row) - _FLOOR_S)
            rows.append(
                {
                    "run": f"{row['size']}, width {row['plan']['hidden_size']}, {row['steps']} steps",
                    "loss": row["loss"],
                    "loss_quoted": round(loss.value, 3),
                    "loss_interval": [round(loss.low, 3), round(loss.high, 3)],
                    "loss_error_percent": round(100 * (loss.value / row["loss"] - 1), 2),
                    "loss_covered": loss.covers(row["loss"]),
                    "step_cpu_s": row["step_cpu_s"],
                    "step_quoted_s": round(seconds, 6),
                    "time_error_percent": round(100 * (seconds / row["step_cpu_s"] - 1), 1),
                }
            )
    return {
        "machine": proxies["machine"],
        "step_floor_s": round(floor, 5),
        "pace_against_the_table": round(pace, 3),
        "worst_loss_error_percent": max(abs(row["loss_error_percent"]) for row in rows),
        "worst_time_error_percent": max(abs(row["time_error_percent"]) for row in rows),
        "covered": f"{sum(row['loss_covered'] for row in rows)} of {len(rows)}",
        "held_out": rows,
    }


def _calibrated(fit: list[dict[str, Any]]) -> tuple[float, float]:
    """The floor of a step (s) and the pace of its products against the table's, on this machine at that hour.

    By least squares of relative errors: a busy machine slows Python and products unlike.
    """
    measured = np.array([row["step_cpu_s"] for row in fit])
    products = np.array([_step_s(row) - _FLOOR_S for row in fit])
    floor, pace = np.linalg.lstsq(np.stack([1 / measured, products / measured]).T, np.ones(len(fit)), rcond=None)[0]
    return float(floor), float(pace)


def _nats_of_bits(row: dict[str, Any], texts: dict[str, dict[str, float]]) -> float:
    """Nats per token in a bit per byte."""
    return math.log(2) * texts[row["size"]]["bytes_per_token"]


def _bits(row: dict[str, Any], texts: dict[str, dict[str, float]]) -> float:
    return float(row["loss"]) / _nats_of_bits(row, texts)


def _bytes(row: dict[str, Any], texts: dict[str, dict[str, float]]) -> float:
    return float(row["steps"] * _batch(row) * texts[row["size"]]["bytes_per_token"])


def _shape(row: dict[str, Any]) -> ModelShape:
    return ModelShape(**{name: value for name, value in row["plan"].items() if name != "batch_size"})


def _batch(row: dict[str, Any]) -> int:
    return int(row["plan"]["batch_size"] * row["plan"]["context_length"])


def _step_s(row: dict[str, Any]) -> float:
    return step_seconds(device_kind("cpu"), _shape(row), "fp32", _batch(row))


_SHAPE = (
    "vocab_size",
    "context_length",
    "hidden_size",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "intermediate_size",
    "batch_size",
)


if __name__ == "__main__":
    main()
