"""Products in 8-bit floats against exact ones."""

import torch

from ropewalk.model.float8 import BACKWARD, FORWARD, Float8Product, to_float8


def test_scaling_uses_the_whole_range_and_is_undone():
    torch.manual_seed(0)
    for scale in (1e-6, 1.0, 1e6):
        tensor = torch.randn(64, 64) * scale
        small, factor = to_float8(tensor, FORWARD)
        assert small.float().abs().max() == torch.finfo(FORWARD).max
        assert (small.float() * factor - tensor).abs().max() <= 0.07 * tensor.abs().max()


def test_a_tensor_of_zeros_stays_zero():
    small, factor = to_float8(torch.zeros(16, 16), BACKWARD)
    assert not small.float().any()
    assert factor > 0


def test_product_and_gradients_are_those_of_a_linear_layer_within_the_rounding_of_8_bits():
    torch.manual_seed(0)
    x = torch.randn(32, 64, dtype=torch.bfloat16, requires_grad=True)
    w = torch.randn(48, 64, requires_grad=True)
    outer = torch.randn(32, 48, dtype=torch.bfloat16)
    Float8Product.apply(x, w).backward(outer)
    assert (x.grad.dtype, w.grad.dtype) == (torch.bfloat16, torch.float32)
    for mine, exact in (
        (Float8Product.apply(x, w), x.float() @ w.T),
        (x.grad, outer.float() @ w),
        (w.grad, outer.float().T @ x.float()),
    ):
        assert (mine - exact).norm() < 0.1 * exact.norm()
