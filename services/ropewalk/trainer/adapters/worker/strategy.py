"""What the loop needs from a way to spread a model over ranks. One file per strategy implements it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Snapshot:
    """Whole tensors under canonical names, in memory of their own. Meaningful on rank 0 only."""

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    num_updates: int


class Strategy(Protocol):
    """All methods are called on every rank in the same order; several are collectives."""

    def logits(self, inputs: torch.Tensor, *, last: bool) -> torch.Tensor:
        """(b, T) -> (b, T, V). `last`: after this micro-batch the gradients are averaged over the ranks."""
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Add to the gradients."""
        ...

    def squared_norm_share(self) -> float:
        """A number whose sum over the ranks is the squared norm of the averaged gradient."""
        ...

    def apply(self, *, gradient_factor: float, rate_scale: float) -> None:
        """Update the weights with the gradients times `gradient_factor`, and drop the gradients."""
        ...

    def discard(self) -> None:
        """Drop the gradients without an update."""
        ...

    def snapshot(self) -> Snapshot:
        """Copy the whole state."""
        ...

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """Take over whole optimizer tensors of any strategy and world size. Raises KeyError for a missing one."""
        ...


def squared_norm(tensors: list[torch.Tensor]) -> float:
    """Of all tensors together."""
    parts = [part for part in tensors if part.numel()]
    return float(torch.stack(torch._foreach_norm(parts)).double().square().sum()) if parts else 0.0


def scale_all(tensors: list[torch.Tensor], factor: float) -> None:
    """Multiply in place; nothing to do for 1."""
    if factor != 1.0 and tensors:
        torch._foreach_mul_(tensors, factor)
