"""What the use of a device is measured by: the operations of a token, and how many a device could do."""

import time

import torch
from transformers import PreTrainedModel

from ropewalk.recipes.device_table import DEVICES, kind_of_card
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.domain.goodput import Yardstick

_SIZES = {"cpu": 512, "cuda": 8192}
_MEASURED_S = 0.03


def flops_per_token(model: PreTrainedModel, context_length: int) -> int:
    """Forward and backward, as nanochat counts (`ModelShape`): 6 a weight but for the input embedding, and attention.

    A frozen weight needs no gradient of its own, so 4. A tied embedding is the head's, and counts.
    """
    config, embedding = model.config, model.get_input_embeddings().weight
    is_tied = model.get_output_embeddings().weight is embedding
    weights = (each for each in model.parameters() if is_tied or each is not embedding)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 12 * config.num_hidden_layers * config.num_attention_heads * head_dim * context_length
    return sum((6 if each.requires_grad else 4) * each.numel() for each in weights) + attention


def yardstick_of(device: Device, flops: float) -> Yardstick:
    """Of one rank. fp8 is held against the rate of bf16, so that its figures compare with the others."""
    cuda = device.kind == "cuda"
    kind = kind_of_card(torch.cuda.get_device_name(device.index)) if cuda else DEVICES["cpu"]
    precision = "bf16" if device.precision == "fp8" else device.precision
    peak = kind.peak_tflops.get(precision, 0.0) * 1e12 if kind is not None else 0.0
    return Yardstick(flops_per_token=flops, peak_flops=peak, gemm_flops=gemm_flops(device))


@torch.no_grad()
def gemm_flops(device: Device) -> float:
    """The best rate of a large product in the device's dtype, in operations a second, measured in some 30 ms."""
    size = _SIZES[device.kind]
    random = torch.Generator(device.torch_device).manual_seed(0)  # not the global one; zeros would draw less power
    factor = torch.randn(size, size, generator=random, device=device.torch_device).to(device.dtype)
    best_s, ends = float("inf"), time.perf_counter() + _MEASURED_S
    _product_s(factor, device)  # the first one makes handles and picks a kernel
    while time.perf_counter() < ends or best_s == float("inf"):
        best_s = min(best_s, _product_s(factor, device))
    return 2 * size**3 / best_s


def _product_s(factor: torch.Tensor, device: Device) -> float:
    began = time.perf_counter()
    torch.mm(factor, factor)
    if device.is_accelerator:
        torch.cuda.synchronize(device.index)
    return time.perf_counter() - began
