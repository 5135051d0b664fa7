"""How long a step of a plan takes: what the dial divides minutes by, and what a quote multiplies."""

from ropewalk.recipes.device_table import DEVICES, DeviceKind, device_kind, step_seconds
from ropewalk.recipes.model_shape import work_of
from ropewalk.recipes.recipe import Recipe

OTHER = 1.02  # looks at held-out windows, saves, reports, over the time of the steps
# over one rank alone; cpu: 12,909 tokens/s of two ranks beside the services in benchmarks/results/demo.json
_SEVERAL_RANKS = {"cpu": 1.4, "cuda": 1.1}
# a step of several ranks takes at least that long, however small the model: they wait for each other and for cores
_TOGETHER_S = {"cpu": 0.035, "cuda": 0.0}  # tiny on two ranks: benchmarks/results/train_step.json, wall_step_s

# of a block that is not compiled, on a card, however few its tokens: one process launches every small kernel of it.
# LoRA of 30 blocks beside its saves: benchmarks/results/finetune_gpu_bake.json, step_ms
_LAUNCHES_S = 0.0067


def kind_of(recipe: Recipe) -> DeviceKind:
    """What a recipe with a plan is reckoned on."""
    return device_kind(recipe.gpu_kind) if recipe.derived.device == "cuda" else DEVICES["cpu"]


def expected_step_s(recipe: Recipe) -> float:
    """Seconds of a step of all workers together, without `OTHER`."""
    plan = recipe.derived
    tokens = round(plan.tokens_per_step / recipe.num_workers)
    step_s = step_seconds(kind_of(recipe), work_of(recipe), plan.precision, tokens)
    if plan.device == "cuda" and not plan.compile:
        step_s = max(step_s, plan.num_layers * _LAUNCHES_S)
    if recipe.num_workers == 1:
        return step_s
    return max(step_s * _SEVERAL_RANKS[plan.device], _TOGETHER_S[plan.device])
