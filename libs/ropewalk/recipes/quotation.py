"""What a training will take, cost and reach, with intervals. Computed from the device table and the scaling law alone.

Intervals are of 90 %. Their widths are stated here and compared with outcomes by `benchmarks/training/quote.py`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ropewalk.recipes.device_table import DeviceKind, was_measured_near
from ropewalk.recipes.expected import Expected
from ropewalk.recipes.model_shape import shape_of, work_of
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.scaling_law import bytes_per_token_of, expected_bits
from ropewalk.recipes.step_time import OTHER, expected_step_s, kind_of

START_S = 15.0  # from the stage's begin to the first step: benchmarks/results/demo.json, train
_MANY_PASSES = 10  # over the same text: beyond it hardly anything is learned (arXiv 2305.16264 saw four pay, forty not)
_MEASURED = (0.85, 1.2)  # our loop was measured there on like models: bounds over the value
_BORROWED = (0.65, 1.6)
_SHARED = (0.8, 1.7)  # CPU cores have other work, too


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What is known of the training text. 0: not known; then it is Python source without end."""

    num_bytes: float = 0.0
    bytes_per_token: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A forecast of one training. `loss` in nats per token, and per byte in bits; None where no law holds."""

    seconds: Expected
    usd: Expected
    loss: Expected | None
    bits_per_byte: Expected | None
    tokens: int
    epochs: float  # 0: it is not known how many tokens there are
    device: str
    num_devices: int
    remarks: tuple[str, ...]


def quote(recipe: Recipe, text: TextFacts | None = None) -> Quote:
    """The forecast for a complete recipe."""
    plan, text = recipe.derived, text or TextFacts()
    kind = kind_of(recipe)
    seconds = _seconds(recipe, kind)
    tokens = plan.total_steps * plan.tokens_per_step
    bytes_per_token = text.bytes_per_token or bytes_per_token_of(plan.vocab_size)
    bits = None
    if recipe.mode == "pretrain":
        bits = expected_bits(shape_of(plan), tokens * bytes_per_token, text.num_bytes)
    epochs = tokens * bytes_per_token / text.num_bytes if text.num_bytes else 0.0
    return Quote(
        seconds=seconds,
        usd=seconds.times(recipe.usd_per_hour / 3600),
        loss=bits.times(math.log(2) * bytes_per_token) if bits else None,
        bits_per_byte=bits,
        tokens=tokens,
        epochs=epochs,
        device=kind.name,
        num_devices=recipe.num_workers,
        remarks=tuple(_remarks(recipe, kind, epochs)),
    )


def _seconds(recipe: Recipe, kind: DeviceKind) -> Expected:
    """Of the training stage: its start, and the steps that this run takes itself."""
    plan, was_measured = recipe.derived, was_measured_near(kind, work_of(recipe))
    low, high = _SHARED if plan.device == "cpu" else _MEASURED if was_measured else _BORROWED
    value = START_S + (plan.total_steps - recipe.first_step) * expected_step_s(recipe) * OTHER
    return Expected(value=value, low=value * low, high=value * high)


def times(epochs: float) -> str:
    """How often the data is read, in plain numbers: `2.4 times`, `21,000 times`."""
    rounded = float(f"{epochs:.2g}")
    return f"{rounded:,.0f} times" if rounded >= 10 else f"{rounded:g} times" if rounded >= 0.01 else "under 0.01 times"


def _remarks(recipe: Recipe, kind: DeviceKind, epochs: float) -> Iterator[str]:
    on_cards = recipe.derived.device == "cuda"
    if on_cards and not kind.is_measured:
        yield f"our loop was never measured on {kind.name}: its time is scaled from {kind.borrows_from}"
    elif on_cards and not was_measured_near(kind, work_of(recipe)):
        yield f"our loop was never measured on {kind.name} with a model of about this size"
    if on_cards and recipe.num_workers > 1:
        yield "several cards were never measured"
    if epochs > _MANY_PASSES:
        yield f"the data is read {times(epochs)}: beyond about {_MANY_PASSES} it teaches little; add text or spend less"
    if "/" in recipe.base_model and not recipe.base_model.startswith(("/", "~", ".")):
        yield f"the shape of a hub's model is not known here: the time is that of the size {recipe.size}"
    if recipe.mode == "finetune":
        yield "no law tells the loss of a fine-tuning"
    else:
        yield "the loss is that of Python source with a vocabulary of this size: other text has another one"
