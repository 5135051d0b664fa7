"""How workers share a training by default: by what fits one of them. Pure, and the same on every machine."""

from typing import Literal

from ropewalk.recipes.device_table import device_kind
from ropewalk.recipes.model_shape import shape_of
from ropewalk.recipes.recipe import Plan, Recipe

_STATE_BYTES = 16  # a weight with its gradient and up to two moments, fp32
_STATE_SHARE = 0.5  # of a card's memory; activations and logits need the rest
_MOST_WEIGHTS_ON_CPU = 500_000_000  # 8 GB of state a worker: the rule must not look at the machine


def default_strategy(recipe: Recipe, plan: Plan, *, is_sized: bool = False) -> Literal["single", "ddp", "fsdp"]:
    """Whole models if they fit, since slices cost time; slices else, and where a base model's size is not known."""
    if recipe.num_workers == 1:
        return "single"
    if recipe.has_base and not is_sized:
        return "fsdp"
    num_weights = shape_of(plan).num_weights
    if plan.device == "cpu":
        return "ddp" if num_weights <= _MOST_WEIGHTS_ON_CPU else "fsdp"
    room = _STATE_SHARE * device_kind(recipe.gpu_kind).memory_gib * 1024**3
    return "ddp" if _STATE_BYTES * num_weights <= room else "fsdp"
