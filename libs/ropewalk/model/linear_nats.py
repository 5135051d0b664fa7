"""Cross-entropy of a linear layer's output without ever holding all logits.

The logits of 65,536 tokens over 32,768 words are 8 GB in fp32. Here some thousand rows at a time are multiplied,
turned into a loss and into their gradient at once, and forgotten (the idea of Liger and of Cut Your Losses, arXiv
2411.09009), so the gradients of the layer are ready when the forward pass ends.
"""

from collections.abc import Callable
from typing import Any

import torch

IGNORED = -100  # the target value that does not count in the loss
_ROWS = 8192
_Slopes = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def nats_and_slopes(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed loss (fp32) and its gradient by the logits (in their type). (n, V) and (n,) -> () and (n, V)."""
    wide = logits.float()
    log_sums = wide.logsumexp(-1)
    counts = targets != IGNORED
    chosen = wide.gather(-1, targets.clamp(min=0)[:, None])[:, 0]
    nats = torch.where(counts, log_sums - chosen, 0.0).sum()
    places = torch.arange(wide.shape[-1], device=wide.device)
    slopes = torch.exp(wide - log_sums[:, None]) - (places == targets[:, None]).float()
    return nats, torch.where(counts[:, None], slopes, 0.0).to(logits.dtype)


def slopes_in_place(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as kernels that are not compiled do it fastest: few passes over (n, V), which all targets count in."""
    slopes = logits.float().log_softmax(-1)
    rows = torch.arange(len(targets), device=targets.device)
    nats = -slopes[rows, targets].sum()
    slopes.exp_()[rows, targets] -= 1.0
    return nats, slopes.to(logits.dtype)


class LinearNats(torch.autograd.Function):
    """The loss of `hidden @ weight.T` against `targets`, summed over those that count, in nats (fp32)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, slopes_of: _Slopes
    ) -> torch.Tensor:
        """`hidden` (n, C) sets the type of the products; `weight` (V, C) may be wider; `targets` (n,)."""
        matrix = weight.to(hidden.dtype)
        nats = torch.zeros((), dtype=torch.float32, device=hidden.device)
        by_hidden = torch.empty_like(hidden)
        by_weight = torch.zeros_like(weight, dtype=torch.float32) if weight.requires_grad else None
        for rows, wanted, out in zip(hidden.split(_ROWS), targets.split(_ROWS), by_hidden.split(_ROWS), strict=True):
            part, slopes = slopes_of(rows @ matrix.mT, wanted)
            nats += part
            torch.mm(slopes, matrix, out=out)
            if by_weight is not None:
                by_weight += slopes.mT @ rows
        ctx.gradients = by_hidden, by_weight
        return nats

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Only the outer factor is left to be multiplied in."""
        by_hidden, by_weight = ctx.gradients
        del ctx.gradients
        return by_hidden.mul_(outer[0]), by_weight.mul_(outer[0]) if by_weight is not None else None, None, None
