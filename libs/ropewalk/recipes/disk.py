"""What a run leaves in the object store: checkpoints and the model that is exported. Counted, not measured."""

from dataclasses import dataclass

from ropewalk.recipes.bases import is_base_name
from ropewalk.recipes.model_shape import shape_of
from ropewalk.recipes.recipe import Recipe

_BYTES = 4  # of a number: all are kept in fp32


@dataclass(frozen=True, kw_only=True)
class DiskNeeds:
    """`num_checkpoints` lie there at once, one that is being written among them."""

    checkpoint_bytes: int
    num_checkpoints: int
    export_bytes: int

    @property
    def total_bytes(self) -> int:
        """Together."""
        return self.num_checkpoints * self.checkpoint_bytes + self.export_bytes


def disk_needs(recipe: Recipe) -> DiskNeeds:
    """Of a complete recipe. An adapter on an import is kept without the weights of the import."""
    plan, shape = recipe.derived, shape_of(recipe.derived)
    adapts = recipe.has_base and recipe.adapter != "full"
    learnt = shape.num_adapter_weights(plan.lora_rank) if adapts else shape.num_weights
    moments = 1 if plan.optimizer == "muon" and not adapts else 2
    frozen = shape.num_weights if adapts and not is_base_name(recipe.base_model) else 0
    saves = 1 + plan.total_steps // plan.checkpoint_every
    return DiskNeeds(
        checkpoint_bytes=_BYTES * ((1 + moments) * learnt + frozen),
        num_checkpoints=min(saves, plan.keep_checkpoints + plan.keep_history + plan.keep_best + 1),
        export_bytes=_BYTES * shape.num_weights,
    )
