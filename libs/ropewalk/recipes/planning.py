"""From a budget to a recipe: which size, how many tokens, on what, and what that will give.

The sizes are those of the dial. Of the sizes that the budget can train, the one whose loss the law expects to be
lowest is taken; a size that was asked for without a budget reads twenty tokens a weight (Hoffmann et al. 2022).
"""

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import JsonValue

from ropewalk.recipes.bases import sized
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.model_shape import shape_of
from ropewalk.recipes.quotation import Quote, TextFacts, quote
from ropewalk.recipes.recipe import Recipe, RecipeError

TOKENS_A_WEIGHT = 20
SIZES: tuple[str, ...] = get_args(Recipe.model_fields["size"].annotation)
# what others ask for a million generated tokens, and an hour of the two cores that answer instead: both rough, 2026-11
SAAS_USD_PER_MILLION = 0.60
SERVING_USD_PER_HOUR = 0.08
_TRIES = 12  # of the number of steps: time is nearly a straight line over it
_MOST_STEPS = 10**8  # that a plan may have
_HOURS_A_MONTH = 730.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be spent on training. 0 and empty: not said."""

    usd: float = 0.0
    hours: float = 0.0
    size: str = ""


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """From how many generated tokens on an own model costs less than one that is paid by the token."""

    saas_usd_per_million: float = SAAS_USD_PER_MILLION
    tokens_for_training: float  # whose price elsewhere is that of the training
    tokens_a_month_for_serving: float  # whose price elsewhere is that of a month of answering


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A recipe that keeps to the budget. `others` are the sizes that were not taken."""

    recipe: Recipe
    quote: Quote
    break_even: BreakEven
    others: tuple[tuple[str, Quote], ...]


def plan_for(fields: dict[str, JsonValue], budget: Budget, text: TextFacts) -> Planned:
    """The best recipe for a budget. Raises RecipeError if no size can be trained with it."""
    candidates = [
        (recipe, quote(recipe, text))
        for size in ([budget.size] if budget.size else SIZES)
        if (recipe := _within(fields, size, budget)) is not None
    ]
    if not candidates:
        raise RecipeError(("the budget pays for fewer than 10 steps of any size: give more, or name a smaller size",))
    best, quoted = min(candidates, key=_by_loss)
    return Planned(
        recipe=best,
        quote=quoted,
        break_even=BreakEven(
            tokens_for_training=quoted.usd.value / SAAS_USD_PER_MILLION * 1e6,
            tokens_a_month_for_serving=SERVING_USD_PER_HOUR * _HOURS_A_MONTH / SAAS_USD_PER_MILLION * 1e6,
        ),
        others=tuple((recipe.size, each) for recipe, each in candidates if recipe is not best),
    )


def _by_loss(candidate: tuple[Recipe, Quote]) -> float:
    """Per byte: losses of two vocabularies compare in that. A fine-tuning has its size from its base model."""
    bits = candidate[1].bits_per_byte
    return bits.value if bits else 0.0


def _within(fields: dict[str, JsonValue], size: str, budget: Budget) -> Recipe | None:
    """The longest training of a size that the budget pays for; None if that is shorter than ten steps."""
    shortest = _with_steps(fields, size, 10)
    if not budget.usd and not budget.hours:
        plan = shortest.derived
        tokens = TOKENS_A_WEIGHT * shape_of(plan).num_weights
        return _with_steps(fields, size, max(10, tokens // plan.tokens_per_step))
    if _spent(shortest, budget) > 1:
        return None
    low, high = 10, 20
    while _spent(_with_steps(fields, size, high), budget) <= 1 and high < _MOST_STEPS:
        low, high = high, min(high * 2, _MOST_STEPS)
    for _ in range(_TRIES):
        middle = (low + high) // 2
        low, high = (middle, high) if _spent(_with_steps(fields, size, middle), budget) <= 1 else (low, middle)
    return _with_steps(fields, size, low)


def _spent(recipe: Recipe, budget: Budget) -> float:
    """The part of the budget, in money or in time, that the training is expected to take."""
    quoted = quote(recipe)
    of_money = quoted.usd.value / budget.usd if budget.usd else 0.0
    return max(of_money, quoted.seconds.value / 3600 / budget.hours if budget.hours else 0.0)


def _with_steps(fields: dict[str, JsonValue], size: str, steps: int) -> Recipe:
    training: Any = fields.get("training") or {}
    return sized(resolve_recipe({**fields, "size": size, "training": {**training, "total_steps": steps}}))
