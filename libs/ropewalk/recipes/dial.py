"""One dial: a size and a budget in minutes give everything else.

Shapes: the smallest ones were measured on two CPU cores (many small steps beat few big ones, two layers are
enough, a 2,048-token vocabulary beats bytes by far); the larger ones follow width = 64 x depth with heads of 64.
Learning rates: Muon 0.02 and Adam 0.01, at batches of up to 2^19 tokens, which no shape exceeds. Schedule: warm-up,
constant to 60 %, linear to 5 % (warmup-stable-decay, arXiv 2404.06395).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ropewalk.recipes.device_table import DEVICES, device_kind
from ropewalk.recipes.model_shape import ModelShape
from ropewalk.recipes.recipe import Plan, Recipe, RecipeError
from ropewalk.recipes.sentences import sentences_of
from ropewalk.recipes.spreading import default_strategy
from ropewalk.recipes.step_time import OTHER, expected_step_s
from ropewalk.recipes.training import SHAPE_FIELDS


@dataclass(frozen=True)
class _Shape:
    vocab_size: int
    context_length: int
    hidden_size: int
    num_layers: int
    head_dim: int
    batch_size: int
    steps_per_minute: float  # two workers on two CPU cores that also run the services; benchmarks/train_step.py


_SHAPES = {
    # vocabulary, context, width, layers, head, batch, steps a minute
    "tiny": _Shape(512, 64, 32, 2, 16, 4, 1200),
    "nano": _Shape(2048, 256, 128, 2, 32, 4, 600),
    "micro": _Shape(4096, 256, 256, 4, 64, 8, 90),
    "small": _Shape(16_384, 1024, 512, 8, 128, 128, 0.22),
    "base": _Shape(32_768, 2048, 768, 12, 128, 256, 0.016),
}
_CHECKPOINTS = 30  # over a run, about
_LOOKS = 20  # at the held-out windows, over a run, about
_LOOK_SHARE = 0.01  # of the time between two of them; a window that is only looked at costs a third of one learnt from
_MOST_WINDOWS = 256
# Where AdamW moves all weights of a base model, 1e-4 in the end. On the specialist's task it learns in 40 steps what
# Muon does (held-out loss .021 against .022, benchmarks/results/finetune_gpu_bake.json), each at a fifth of the price.
_ADAM_ALONE = 0.002
USD_PER_CPU_HOUR = DEVICES["cpu"].usd_per_hour


def complete(recipe: Recipe, base: ModelShape | None = None) -> Recipe:
    """Fill in the plan. The same recipe gives the same plan on every machine; a given plan is kept.

    `base` is the shape of the base model, where it is known: it decides how many steps the minutes allow. Raises
    RecipeError for figures that do not go together.
    """
    if recipe.plan is not None:
        if recipe.plan.total_steps <= recipe.first_step:
            raise RecipeError((f"plan.total_steps is {recipe.plan.total_steps}: {recipe.extends} has as many already",))
        return recipe
    given = recipe.training.given | ({"optimizer": "adamw"} if recipe.adapter != "full" else {})  # whatever was asked
    fields = {**_shape(recipe, given), **_optimizer(recipe), **_machine(recipe)} | given
    if base is not None:
        fields |= {name: getattr(base, name) for name in SHAPE_FIELDS}
    fields |= _lengths(recipe, fields, given, is_sized=base is not None) | given
    fields.pop("total_tokens", None)
    try:
        plan = Plan.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(sentences_of(error, Plan)) from None
    if faults := tuple(_faults(plan, recipe)):
        raise RecipeError(faults)
    strategy = recipe.named_strategy or default_strategy(recipe, plan, is_sized=base is not None)
    return recipe.model_copy(update={"plan": plan.model_copy(update={"strategy": strategy})})


def _faults(plan: Plan, recipe: Recipe) -> Iterator[str]:
    """What of the training's figures does not go together."""
    if recipe.training.batch_size is not None and plan.batch_size < recipe.num_workers:
        yield f"training.batch_size is {plan.batch_size}: each of {recipe.num_workers} workers needs a window of it"
    if recipe.caps.tokens is not None and recipe.caps.tokens < plan.tokens_per_step:
        step = plan.tokens_per_step
        yield f"caps.tokens is {recipe.caps.tokens}: a single step learns from {step} tokens, so allow more"
    if recipe.training.total_tokens is not None and recipe.training.total_tokens < plan.tokens_per_step:
        asked, step = recipe.training.total_tokens, plan.tokens_per_step
        yield f"training.total_tokens is {asked}: a single step learns from {step} tokens, so ask for more"
    if recipe.caps.minutes is not None and recipe.caps.minutes * 60 <= 1:
        yield f"caps.minutes is {recipe.caps.minutes:g}: training looks at it once a second, so allow more"
    a_second = recipe.model_copy(update={"plan": plan}).usd_per_hour / 3600
    if recipe.caps.usd is not None and recipe.caps.usd <= a_second:
        yield f"caps.usd is {recipe.caps.usd:g}: a second of training costs {a_second:.2g}, so allow more"
    if not plan.warmup_steps <= plan.decay_start <= plan.total_steps:
        yield (
            f"training.warmup_steps is {plan.warmup_steps}, decay_start {plan.decay_start} and total_steps "
            f"{plan.total_steps}: choose them in rising order"
        )


def _shape(recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
    shape = _SHAPES[recipe.size]
    hidden_size, head_dim = given.get("hidden_size", shape.hidden_size), given.get("head_dim", shape.head_dim)
    num_heads = given.get("num_heads", max(1, hidden_size // head_dim))
    return {
        "vocab_size": shape.vocab_size,
        "context_length": shape.context_length,
        "hidden_size": hidden_size,
        "num_layers": shape.num_layers,
        "num_heads": num_heads,
        "num_kv_heads": num_heads // 2 if num_heads % 2 == 0 else num_heads,
        "head_dim": head_dim,
        "intermediate_size": hidden_size * 3,
        "batch_size": shape.batch_size,
        "document_masks": recipe.mode == "finetune",  # a window holds several conversations, and little padding
    }


def _optimizer(recipe: Recipe) -> dict[str, Any]:
    rate = 0.05 if recipe.has_base else 1.0  # a base model is near a good place already
    is_preference = recipe.training.objective == "dpo"
    rate *= 0.1 if is_preference else 1.0  # as its paper and TRL, whose defaults are a tenth of theirs for answers
    adapts, is_new = recipe.adapter != "full", recipe.mode != "finetune"
    uses_muon = not adapts and (is_new or recipe.training.optimizer == "muon")
    return {
        "optimizer": "muon" if uses_muon else "adamw",
        "matrix_lr": 0.02 * rate,
        "adam_lr": (0.01 if uses_muon or adapts else _ADAM_ALONE) * rate,
        "weight_decay": 0.0 if recipe.mode == "finetune" else 0.1,
        "grad_clip": 1.0,
        "lora_alpha": 2 * (recipe.training.lora_rank or 8),
    }


def _machine(recipe: Recipe) -> dict[str, Any]:
    on_gpus = recipe.device == "cuda"  # never by itself: the plan must not depend on the machine that derives it
    return {
        "usd_per_cpu_hour": USD_PER_CPU_HOUR,
        "device": "cuda" if on_gpus else "cpu",
        "precision": recipe.precision if recipe.precision != "auto" else "bf16" if on_gpus else "fp32",
        "compile": on_gpus and recipe.adapter == "full",  # see TrainingRecipe.conflict
        "usd_per_gpu_hour": device_kind(recipe.gpu_kind).usd_per_hour if on_gpus else 0.0,
    }


def _steps_per_minute(recipe: Recipe, fields: dict[str, Any], *, is_sized: bool) -> float:
    """Of the size on two CPU cores, whatever its shape; on cards, and of a base model of known shape, of the shape."""
    if fields["device"] == "cpu" and not is_sized:
        return _SHAPES[recipe.size].steps_per_minute
    known = {name: value for name, value in fields.items() if name in Plan.model_fields}
    as_planned = recipe.model_copy(update={"plan": Plan.model_construct(**known)})  # its lengths come next
    return 60 / (OTHER * expected_step_s(as_planned))


def _lengths(recipe: Recipe, fields: dict[str, Any], given: dict[str, Any], *, is_sized: bool) -> dict[str, Any]:
    """How many steps of what. `fields` has the shape and the batch."""
    steps = max(10, round(recipe.minutes * _steps_per_minute(recipe, fields, is_sized=is_sized)))
    if "total_tokens" in given:
        steps = max(1, given["total_tokens"] // (fields["batch_size"] * fields["context_length"]))
    steps = given.get("total_steps", steps)
    warmup = given.get("warmup_steps", min(20, max(1, steps // 10)))
    every = given.get("validate_every", max(10, steps // _LOOKS))
    return {
        "total_steps": steps,
        "warmup_steps": warmup,
        "decay_start": max(warmup, 0 if given.get("decay") == "cosine" else steps * 6 // 10),
        "checkpoint_every": max(5, steps // _CHECKPOINTS),
        "keep_checkpoints": 3,
        "keep_history": 3,
        "keep_best": 1,
        "trial_steps": steps,
        "validate_every": every,
        "export": "best" if given.get("early_stop") else "last",
        "validation_windows": min(_MOST_WINDOWS, max(4, round(3 * _LOOK_SHARE * every * fields["batch_size"]))),
    }
