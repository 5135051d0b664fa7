"""Where a rank computes, and in which numbers. No other module tells one kind of device from another.

A GPU that was asked for and is not there is no error: the rank falls back to the CPU and says so in `remark`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from ropewalk.model.fast_blocks import BlockPlan
from ropewalk.recipes.recipe import Recipe
from ropewalk.trainer.adapters.heap import keep_heap

Precision = Literal["fp32", "bf16", "fp8"]
# of the process group: small values and objects stay on gloo, so that they never wait for a GPU
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
_FP8_CAPABILITY = (8, 9)  # the first NVIDIA cards that multiply 8-bit floats


@dataclass(frozen=True, kw_only=True)
class Device:
    """One rank's device. `precision` is that of the products; the weights themselves are always fp32."""

    kind: Literal["cpu", "cuda"]
    index: int = 0
    precision: Precision = "fp32"
    deterministic: bool = False
    compiled: bool = True  # the blocks, on a GPU
    remark: str = ""  # one sentence if this is not what the recipe asked for

    @property
    def torch_device(self) -> torch.device:
        """As torch names it."""
        return torch.device(self.kind, self.index) if self.kind == "cuda" else torch.device("cpu")

    @property
    def is_accelerator(self) -> bool:
        """Whether work is queued on a device of its own while this process goes on."""
        return self.kind == "cuda"

    @property
    def backend(self) -> str:
        """For the process group."""
        return BACKENDS[self.kind]

    @property
    def dtype(self) -> torch.dtype:
        """Of activations and products (fp8 concerns the inside of a product only)."""
        return torch.float32 if self.precision == "fp32" else torch.bfloat16

    @property
    def block_plan(self) -> BlockPlan | None:
        """How a model's blocks are computed here. None: as transformers does, the reference for every other way."""
        if self.kind == "cpu" and self.precision == "fp32":
            return None
        return BlockPlan(dtype=self.dtype, fp8=self.precision == "fp8", compiled=self.kind == "cuda" and self.compiled)

    @property
    def memory_bytes(self) -> int:
        """Of the GPU; 0 for a CPU, whose memory is shared with everybody."""
        return int(torch.cuda.get_device_properties(self.index).total_memory) if self.kind == "cuda" else 0

    @property
    def description(self) -> str:
        """For people: the kind or the card's name, the precision, and the remark if there is one."""
        name = torch.cuda.get_device_name(self.index) if self.kind == "cuda" else "CPU"
        return f"{name}, {self.precision}" + (f" ({self.remark})" if self.remark else "")

    def begin(self) -> None:
        """Set this process up for the device, before anything is computed on it."""
        torch.set_num_threads(1)  # more threads change the bits, and spin on shared cores
        if self.kind == "cpu":
            keep_heap()
            return
        torch.cuda.set_device(self.index)
        torch.set_float32_matmul_precision("high")  # TF32: 8 times as fast as true fp32 on an H100
        if self.deterministic:
            from torch._inductor import config as inductor  # most of a second, so only where it is needed

            os.environ.update(CUBLAS_WORKSPACE_CONFIG=":4096:8")  # read when the first product is made
            torch.use_deterministic_algorithms(True)
            inductor.deterministic = True  # measures no kernels, whose choice would change the bits
            torch.utils.deterministic.fill_uninitialized_memory = False  # costs 3 % and changes no bit

    def seed(self, number: int) -> None:
        """Of the CPU and this device: torch.manual_seed also asks every other kind, which takes a millisecond."""
        torch.default_generator.manual_seed(number)
        if self.kind == "cuda":
            torch.cuda.manual_seed(number)

    def pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor where the device can fetch it without stopping the process."""
        return tensor.pin_memory() if self.kind == "cuda" else tensor

    def place(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor on the device. A pinned one travels while the process goes on."""
        return tensor.to(self.torch_device, non_blocking=True)


def choose_device(recipe: Recipe, rank: int) -> Device:
    """What a rank of a complete recipe computes on.

    The ranks of one machine are numbered in a row, so the rank also tells which of its GPUs to take.
    """
    plan = recipe.derived
    if plan.device == "cpu":
        return Device(kind="cpu", precision=plan.precision, deterministic=True)
    num_gpus = torch.cuda.device_count()
    if not num_gpus:
        remark = f"the recipe asks for a GPU in {plan.precision} and there is none: training on the CPU"
        return Device(kind="cpu", deterministic=True, remark=remark)
    index, precision, remark = rank % num_gpus, plan.precision, ""
    if precision == "fp8" and torch.cuda.get_device_capability(index) < _FP8_CAPABILITY:
        precision, remark = "bf16", "the recipe asks for fp8, which this card does not have: training in bf16"
    return Device(
        kind="cuda",
        index=index,
        precision=precision,
        deterministic=recipe.deterministic,
        compiled=plan.compile and recipe.adapter == "full",  # a plan of before may ask for what learns nothing
        remark=remark,
    )


class HostCopies:
    """Copies of tensors in host memory that stay as they are while training goes on.

    On a GPU the copy runs beside the computing, into pinned buffers that are made once and used again: one set may be
    in use at a time. `fence` keeps the next update from changing what is still being copied.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._buffers: dict[str, torch.Tensor] = {}
        self._stream = torch.cuda.Stream(device.index) if device.kind == "cuda" else None
        self._copied: torch.cuda.Event | None = None

    def take(
        self, tensors: Mapping[str, torch.Tensor], *, live: bool
    ) -> tuple[dict[str, torch.Tensor], Callable[[], None]]:
        """The copies, and what to call before they are read. Tensors that are not `live` change no more."""
        if self._stream is None:
            return {name: tensor.clone() if live else tensor for name, tensor in tensors.items()}, _nothing
        self._stream.wait_stream(torch.cuda.current_stream())
        copies: dict[str, torch.Tensor] = {}
        with torch.cuda.stream(self._stream):
            for name, tensor in tensors.items():
                copies[name] = self._buffer(name, tensor).copy_(tensor, non_blocking=True)
                tensor.record_stream(self._stream)
            self._copied = self._stream.record_event()
        return copies, self._copied.synchronize

    def fence(self) -> None:
        """Let the device finish the copy before it goes on; this process does not wait."""
        if self._copied is not None:
            torch.cuda.current_stream().wait_event(self._copied)
            self._copied = None

    def _buffer(self, name: str, like: torch.Tensor) -> torch.Tensor:
        if name not in self._buffers:
            self._buffers[name] = torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
        return self._buffers[name]


def _nothing() -> None:
    """There is nothing to wait for."""
