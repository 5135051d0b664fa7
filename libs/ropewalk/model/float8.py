"""A product in 8-bit floats: e4m3 forward, e5m2 for gradients, one scale per tensor (arXiv 2209.05433).

About twice the rate of bf16 in the matrix units of an H100. Worth it from about a billion weights; below, the
conversions cost what the products save.
"""

from typing import Any

import torch

FORWARD, BACKWARD = torch.float8_e4m3fn, torch.float8_e5m2


def to_float8(tensor: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The tensor scaled to the whole range of `dtype`, and the fp32 factor that undoes the scaling."""
    largest = torch.finfo(dtype).max
    factor = tensor.detach().abs().amax().float().clamp(min=1e-12) / largest
    return (tensor.float() / factor).clamp(-largest, largest).to(dtype), factor


class Float8Product(torch.autograd.Function):
    """`x @ w.T` for x (n, K) in bf16 and w (N, K) in any type; all three of n, N and K are multiples of 16."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """(n, K), (N, K) -> (n, N) in the type of x."""
        x8, x_factor = to_float8(x, FORWARD)
        w8, w_factor = to_float8(w, FORWARD)
        ctx.save_for_backward(x8, x_factor, w8, w_factor)
        ctx.types = x.dtype, w.dtype
        return _multiplied(x8, x_factor, w8, w_factor, x.dtype)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both gradients from one rounding of the outer gradient."""
        x8, x_factor, w8, w_factor = ctx.saved_tensors
        x_dtype, w_dtype = ctx.types
        g8, g_factor = to_float8(outer[0], BACKWARD)
        by_x = _multiplied(g8, g_factor, w8.mT.contiguous(), w_factor, x_dtype)
        by_w = _multiplied(g8.mT.contiguous(), g_factor, x8.mT.contiguous(), x_factor, x_dtype)
        return by_x, by_w.to(w_dtype)


def _multiplied(
    a: torch.Tensor, a_factor: torch.Tensor, b: torch.Tensor, b_factor: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """`a @ b.T`; the matrix units want both with the summed index last."""
    return torch._scaled_mm(a, b.mT, scale_a=a_factor, scale_b=b_factor, out_dtype=dtype, use_fast_accum=True)
