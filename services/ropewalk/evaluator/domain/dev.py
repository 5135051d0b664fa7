"""Watching a training: how much is read of each checkpoint, and what came of it."""

import math
from dataclasses import dataclass

from ropewalk.recipes.recipe import Plan

_SHARE = 0.03  # of the tokens learnt from between two checkpoints: to read one costs a third of learning from it
_FEWEST, _MOST = 2048, 131_072  # tokens


@dataclass(frozen=True, kw_only=True)
class DevLoss:
    """What was measured. `nats` are summed over the `num_tokens` that count, which stand for `num_bytes` bytes."""

    nats: float
    num_tokens: int
    num_bytes: int
    num_items: int

    @property
    def per_token(self) -> float:
        """Nats per token; not a number where nothing counts."""
        return self.nats / self.num_tokens if self.num_tokens else math.nan

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers."""
        return self.nats / math.log(2) / self.num_bytes if self.num_bytes else math.nan


def tokens_to_read(plan: Plan) -> int:
    """Of each checkpoint of a run, about."""
    learnt = plan.checkpoint_every * plan.batch_size * plan.context_length
    return max(_FEWEST, min(_MOST, round(_SHARE * learnt)))
