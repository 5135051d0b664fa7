"""What a model of a plan weighs and what a step of it computes, counted and not measured."""

from dataclasses import dataclass

from ropewalk.recipes.recipe import Plan

_NEWTON_SCHULZ = 5  # iterations of Muon, on every matrix of the blocks


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
        attention = 12 * self.num_layers * self.num_heads * self.head_dim * self.context_length
        return 6 * (self.num_weights - self.vocab_size * self.hidden_size) + attention

    @property
    def flops_per_update(self) -> int:
        """Muon's products, once a step whatever its batch."""
        return _NEWTON_SCHULZ * self.num_layers * sum(_iteration(*matrix) for matrix in self._matrices)

    @property
    def _matrices(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every matrix of a block."""
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        width, inner = self.hidden_size, self.intermediate_size
        return ((queries, width), (keys, width), (keys, width), (width, queries), *(3 * ((inner, width),)))


def shape_of(plan: Plan) -> ModelShape:
    """The shape that a plan asks for."""
    return ModelShape(**{name: getattr(plan, name) for name in ModelShape.__dataclass_fields__})


def _iteration(rows: int, columns: int) -> int:
    small, large = min(rows, columns), max(rows, columns)
    return 4 * small * small * large + 2 * small**3
