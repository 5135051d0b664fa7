"""One dial: a size and a budget in minutes give everything else.

Shapes: the smallest ones were measured on two CPU cores (many small steps beat few big ones, two layers are
enough, a 2,048-token vocabulary beats bytes by far); the larger ones follow width = 64 x depth with heads of 64.
Learning rates: Muon 0.02 and Adam 0.01, at batches of up to 2^19 tokens, which no shape exceeds. Schedule: warm-up,
constant to 60 %, linear to 5 % (warmup-stable-decay, arXiv 2404.06395).
"""

from dataclasses import dataclass

from ropewalk.recipes.device_table import device_kind
from ropewalk.recipes.recipe import Plan, Recipe


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
    "small": _Shape(16_384, 1024, 512, 8, 128, 128, 1),
    "base": _Shape(32_768, 2048, 768, 12, 128, 256, 0.2),
}
_SEARCH_SHARE = 0.1  # of the training steps, each trial
_CHECKPOINTS = 30  # over a run, about
USD_PER_CPU_HOUR = device_kind("cpu").usd_per_hour


def complete(recipe: Recipe) -> Recipe:
    """Fill in the plan. The same recipe gives the same plan on every machine; a given plan is kept."""
    if recipe.plan is not None:
        return recipe
    shape = _SHAPES[recipe.size]
    total_steps = max(10, round(recipe.minutes * shape.steps_per_minute))
    finetune = recipe.mode == "finetune"
    rate = 0.05 if finetune else 1.0  # a base model is near a good place already
    on_gpus = recipe.device == "cuda"  # never by itself: the plan must not depend on the machine that derives it
    plan = Plan(
        vocab_size=shape.vocab_size,
        context_length=shape.context_length,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        num_heads=shape.hidden_size // shape.head_dim,
        num_kv_heads=max(1, shape.hidden_size // shape.head_dim // 2),
        head_dim=shape.head_dim,
        intermediate_size=shape.hidden_size * 3,
        batch_size=shape.batch_size,
        total_steps=total_steps,
        warmup_steps=min(20, max(1, total_steps // 10)),
        decay_start=total_steps * 6 // 10,
        matrix_lr=0.02 * rate,
        adam_lr=0.01 * rate,
        weight_decay=0.0 if finetune else 0.1,
        grad_clip=1.0,
        checkpoint_every=max(5, total_steps // _CHECKPOINTS),
        keep_checkpoints=3,
        trial_steps=max(5, round(total_steps * _SEARCH_SHARE)),
        usd_per_cpu_hour=USD_PER_CPU_HOUR,
        device="cuda" if on_gpus else "cpu",
        precision=recipe.precision if recipe.precision != "auto" else "bf16" if on_gpus else "fp32",
        usd_per_gpu_hour=device_kind(recipe.gpu_kind).usd_per_hour if on_gpus else 0.0,
    )
    return recipe.model_copy(update={"plan": plan})
