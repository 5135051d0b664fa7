"""Watching a training: how much is read of each checkpoint, and what came of it."""

import math
from dataclasses import dataclass

from ropewalk.recipes.recipe import Plan

_SHARE = 0.03  # of the tokens learnt from between two checkpoints: to read one costs a third of learning from it
_FEWEST, _MOST = 1024, 131_072  # tokens


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
    return max(_FEWEST, min(_MOST, round(_SHARE * _learnt(plan))))


def is_read_beside(plan: Plan, step: int) -> bool:
    """Whether the checkpoint of a step is read while it trains; the others are when training has ended.

    All are where the loss decides something. Else only so many that what is read stays within its share.
    """
    if plan.early_stop or plan.export == "best":
        return True
    every = max(1, math.ceil(_FEWEST / (_SHARE * _learnt(plan))))
    return step // plan.checkpoint_every % every == 0


def _learnt(plan: Plan) -> int:
    """Tokens between two checkpoints."""
    return plan.checkpoint_every * plan.batch_size * plan.context_length
