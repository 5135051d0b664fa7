"""What a model of a plan weighs and what a step of it computes, counted and not measured."""

from dataclasses import dataclass
from typing import Protocol

from ropewalk.recipes.recipe import Plan, Recipe

_NEWTON_SCHULZ = 5  # iterations of Muon, on every matrix of the blocks


class Counted(Protocol):
    """Operations that a training takes."""

    @property
    def flops_per_token(self) -> float: ...  # forward and backward

    @property
    def flops_per_update(self) -> float: ...  # of the optimizer, once a step whatever its batch


@dataclass(frozen=True, kw_only=True)
class Work:
    """See Counted."""

    flops_per_token: float
    flops_per_update: float = 0.0  # AdamW's are nothing beside the rest


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The numbers of a plan on which the work depends."""

    vocab_size: int
    context_length: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int

    @property
    def num_weights(self) -> int:
        """All weights, embedding and head apart: they are not tied."""
        norms = 2 * self.hidden_size + 2 * self.head_dim
        matrices = sum(rows * columns for rows, columns in self._matrices)
        return self.num_layers * (matrices + norms) + self.hidden_size + 2 * self.vocab_size * self.hidden_size

    @property
    def flops_per_token(self) -> int:
        """Forward and backward, as nanochat counts: 6 a weight but for the input embedding, and the attention's."""
        return 6 * self._num_multiplied + self._attention_flops

    @property
    def flops_per_update(self) -> int:
        """Muon's products, once a step whatever its batch."""
        return _NEWTON_SCHULZ * self.num_layers * sum(_iteration(*matrix) for matrix in self._matrices)

    def work(self, *, lora_rank: int = 0, has_lengths: bool = False, uses_muon: bool = True) -> Work:
        """Of a training of all weights, or (rank above 0) of adapters on every matrix of the blocks.

        A frozen weight needs no gradient of its own, so 4 a token. DoRA (`has_lengths`) makes W + BA once a step to
        take the lengths of its rows.
        """
        if not lora_rank:
            return Work(flops_per_token=self.flops_per_token, flops_per_update=uses_muon * self.flops_per_update)
        small = self.num_adapter_weights(lora_rank)
        sums = self.num_layers * sum((2 * lora_rank + 3) * rows * columns for rows, columns in self._matrices)
        return Work(
            flops_per_token=4 * self._num_multiplied + 6 * small + self._attention_flops,
            flops_per_update=has_lengths * sums,
        )

    def num_adapter_weights(self, rank: int) -> int:
        """Of adapters on every matrix of the blocks."""
        return self.num_layers * sum(rank * (rows + columns) for rows, columns in self._matrices)

    @property
    def _num_multiplied(self) -> int:
        """Weights by which a token is multiplied: all but the input embedding."""
        return self.num_weights - self.vocab_size * self.hidden_size

    @property
    def _attention_flops(self) -> int:
        return 12 * self.num_layers * self.num_heads * self.head_dim * self.context_length

    @property
    def _matrices(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every matrix of a block."""
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        width, inner = self.hidden_size, self.intermediate_size
        return ((queries, width), (keys, width), (keys, width), (width, queries), *(3 * ((inner, width),)))


def shape_of(plan: Plan) -> ModelShape:
    """The shape that a plan asks for."""
    return ModelShape(**{name: getattr(plan, name) for name in ModelShape.__dataclass_fields__})


def work_of(recipe: Recipe) -> Work:
    """What a complete recipe computes."""
    plan, adapts = recipe.derived, recipe.has_base and recipe.adapter != "full"
    return shape_of(plan).work(
        lora_rank=plan.lora_rank if adapts else 0,
        has_lengths=recipe.adapter == "dora",
        uses_muon=plan.optimizer == "muon",
    )


def _iteration(rows: int, columns: int) -> int:
    small, large = min(rows, columns), max(rows, columns)
    return 4 * small * small * large + 2 * small**3
