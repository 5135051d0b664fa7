"""What the loop needs from a way to spread a model over ranks. One file per strategy implements it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Snapshot:
    """Whole tensors under canonical names, in host memory of their own. Meaningful on rank 0 only.

    Call `wait` before reading a tensor: a copy from a GPU may still be under way.
    """

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    num_updates: int
    wait: Callable[[], None]


class Strategy(Protocol):
    """All methods are called on every rank in the same order; several are collectives."""

    def nats(self, inputs: torch.Tensor, targets: torch.Tensor, *beside: torch.Tensor, last: bool) -> torch.Tensor:
        """The loss of a micro-batch, (b, T) each, summed over its targets: see NextTokenLoss for what may be beside.

        `last`: after this micro-batch the gradients are averaged over the ranks.
        """
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Add to the gradients."""
        ...

    def score(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What the model's forward pass gives (see NextTokenLoss), without gradients and without a trace."""
        ...

    def squared_norm_share(self) -> torch.Tensor:
        """A number whose sum over the ranks is the squared norm of the averaged gradient. It stays on the device."""
        ...

    def apply(self, *, gradient_factor: float, rate_scale: float) -> None:
        """Update the weights with the gradients times `gradient_factor`, and drop the gradients."""
        ...

    def discard(self) -> None:
        """Drop the gradients without an update."""
        ...

    def snapshot(self) -> Snapshot:
        """Copy the whole state. One snapshot may be in use at a time."""
        ...

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """Take over whole optimizer tensors of any strategy and world size. Raises KeyError for a missing one."""
        ...


def apply_clipped(strategy: Strategy, *, norm: float, limit: float, rate_scale: float) -> None:
    """Update with gradients of that norm, made shorter where they are longer than `limit`, never longer."""
    strategy.apply(gradient_factor=min(1.0, limit / max(norm, 1e-12)), rate_scale=rate_scale)


def squared_norm(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Of all tensors together, in double precision."""
    parts = [part for part in tensors if part.numel()]
    if not parts:
        return torch.zeros((), dtype=torch.float64)
    return torch.stack(torch._foreach_norm(parts)).double().square().sum()


def scale_all(tensors: list[torch.Tensor], factor: float) -> None:
    """Multiply in place; nothing to do for 1."""
    parts = [part for part in tensors if part.numel()]
    if factor != 1.0 and parts:
        torch._foreach_mul_(parts, factor)
