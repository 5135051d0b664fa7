"""Products with matrices that have low-rank adapters: W x + factor * up (down x), with what autograd need not repeat.

peft computes each adapter beside its matrix: reads the input again, makes the small result large, adds it, and on the
way back makes the gradient of the input several times and adds those. Here the adapters of matrices with one input
are one product, and everything is added where it lies.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

_ADAPTER = "default"  # peft's name of it
_SHORTEST = 1e-12  # of a row that is all zeros: nothing stretches it, and nothing divides by zero


class Matrix(NamedTuple):
    """A weight (out, in), its adapter (r, in) and (out, r), and DoRA's length of each row (out,), if it has them."""

    weight: torch.Tensor
    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    factor: float = 0.0
    magnitude: torch.Tensor | None = None


def matrix_of(module: Any) -> Matrix:
    """Of a linear layer, or of the one that peft put around it."""
    if not hasattr(module, "base_layer"):
        return Matrix(module.weight)
    lengths = module.lora_magnitude_vector
    return Matrix(
        module.base_layer.weight,
        module.lora_A[_ADAPTER].weight,
        module.lora_B[_ADAPTER].weight,
        module.scaling[_ADAPTER],
        lengths[_ADAPTER].weight if _ADAPTER in lengths else None,
    )


def adapted_products(x: torch.Tensor, matrices: Sequence[Matrix]) -> list[torch.Tensor]:
    """`x` (b, T, in) times each matrix, in the type of x. A matrix without an adapter is multiplied as it is."""
    adapted = [each for each in matrices if each.down is not None]
    parts = [each for matrix in adapted for each in matrix[:3]]
    factors = tuple(matrix.factor for matrix in adapted)
    found = iter(_LowRankProducts.apply(x.flatten(0, 1), factors, *parts) if adapted else ())
    products = []
    for matrix in matrices:
        if matrix.down is None:
            products.append(F.linear(x, matrix.weight.to(x.dtype)))
            continue
        product = next(found).unflatten(0, x.shape[:2])
        if matrix.magnitude is not None:
            product = product * (matrix.magnitude / row_lengths(matrix)).to(x.dtype)
        products.append(product)
    return products


@torch.no_grad()
def row_lengths(matrix: Matrix) -> torch.Tensor:
    """Of the matrix with its adapter, (out,): a constant to the gradient, as DoRA has it (arXiv 2402.09353, 4.3)."""
    assert matrix.down is not None, "only adapters are asked"
    assert matrix.up is not None
    return torch.addmm(matrix.weight, matrix.up, matrix.down, alpha=matrix.factor).norm(dim=1).clamp_min(_SHORTEST)


class _LowRankProducts(torch.autograd.Function):
    """`x` (n, in) and, one after the other, the three tensors of each matrix -> (n, out) of each. The weights stay."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, factors: tuple[float, ...], *parts: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        weights, downs, ups = ([each.to(x.dtype) for each in parts[start::3]] for start in range(3))
        down = torch.cat(downs)
        ranks = [each.shape[0] for each in downs]
        inner = x @ down.mT  # (n, all ranks)
        given = zip(weights, ups, inner.split(ranks, dim=-1), factors, strict=True)
        found = tuple((x @ weight.mT).addmm_(low, up.mT, alpha=factor) for weight, up, low, factor in given)
        ctx.save_for_backward(x, inner, down, *weights, *ups)
        ctx.factors, ctx.ranks = factors, ranks
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inner, down, *rest = ctx.saved_tensors
        weights, ups = rest[: len(slopes)], rest[len(slopes) :]
        low = torch.cat(
            [(slope @ up).mul_(factor) for slope, up, factor in zip(slopes, ups, ctx.factors, strict=True)], dim=-1
        )
        by_downs = (low.mT @ x).split(ctx.ranks)
        by_ups = [
            (slope.mT @ part).mul_(factor)
            for slope, part, factor in zip(slopes, inner.split(ctx.ranks, dim=-1), ctx.factors, strict=True)
        ]
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = low @ down
            for slope, weight in zip(slopes, weights, strict=True):
                by_x.addmm_(slope, weight)
        by_parts = [each for pair in zip(by_downs, by_ups, strict=True) for each in (None, *pair)]
        return by_x, None, *by_parts
