"""What a device computes, holds and costs, and how fast our own loop trained on it. Every figure has a date and source.

`peak_tflops` are data-sheet rates of dense products (fp32 on a card means TF32, as in our loop). A virtual CPU core has
no data sheet: there it is the best rate of a large product on one core. `speeds` are measured with the trainer's own
loop; a kind without any is unmeasured, and its time is that of `borrows_from` scaled by the peak rates.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from types import MappingProxyType

from ropewalk.recipes.model_shape import Counted, ModelShape

_ANY_GPU = "h100"  # what a recipe that names no kind is reckoned with
_TODAY = "2026-11-26"
_NEAR = math.log(3)  # of the operations of a token


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One measured step of our own loop on one device (a card, or one CPU core)."""

    work: Counted
    precision: str
    tokens_a_step: int
    step_s: float
    date: str
    source: str

    @property
    def tokens_per_s(self) -> float:
        """Throughput."""
        return self.tokens_a_step / self.step_s

    @property
    def flops(self) -> float:
        """Of the step, with the optimizer's."""
        return float(self.tokens_a_step * self.work.flops_per_token + self.work.flops_per_update)


@dataclass(frozen=True, kw_only=True)
class DeviceKind:
    """One row. `gemm_tflops` is a large product measured by us, 0 where none was."""

    name: str
    marker: str  # what the driver's name of such a card contains; empty for a CPU
    peak_tflops: Mapping[str, float]  # by precision; one that is missing cannot be computed there
    memory_gib: float  # 0: the machine's own
    usd_per_hour: float  # of one card, or of one CPU core
    gemm_tflops: float = 0.0
    step_floor_s: float = 0.0  # of a step that computes nearly nothing: launches and Python
    borrows_from: str = ""
    speeds: tuple[Speed, ...] = ()
    date: str = _TODAY
    source: str

    @property
    def is_measured(self) -> bool:
        """Whether our own loop ran on it."""
        return bool(self.speeds)


def _shape(vocab: int, context: int, width: int, layers: int, head: int) -> ModelShape:
    heads = width // head
    return ModelShape(
        vocab_size=vocab,
        context_length=context,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=max(1, heads // 2),
        head_dim=head,
        intermediate_size=3 * width,
    )


def _speed(work: Counted, precision: str, tokens: int, step_s: float, source: str) -> Speed:
    return Speed(work=work, precision=precision, tokens_a_step=tokens, step_s=step_s, date=_TODAY, source=source)


_GPU_RUN = "benchmarks/results/training_gpu.json: one NVIDIA H100 80GB HBM3, 700 W, torch 2.11.0+cu130"
_CPU_RUN = "benchmarks/training/device_table.py: one core of an AMD EPYC torch 2.13.0+cpu, CPU seconds"
_SHEET = "the maker's data sheet; price: a rough hour's rent on demand, not a quotation"
_NANO, _TINY = _shape(2048, 256, 128, 2, 32), _shape(512, 64, 32, 2, 16)
_SMOLLM2_LORA = ModelShape(
    vocab_size=49_152,
    context_length=512,
    hidden_size=576,
    num_layers=30,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    intermediate_size=1536,
).work(lora_rank=16)

_KINDS = (
    DeviceKind(
        name="h100",
        marker="H100",
        peak_tflops={"bf16": 989, "fp8": 1979, "fp32": 494},
        memory_gib=79.2,
        usd_per_hour=3.0,
        gemm_tflops=784.5,
        step_floor_s=0.0127,
        speeds=(
            _speed(_NANO, "bf16", 1024, 0.0134, _GPU_RUN + ", section learning-bf16"),
            _speed(_shape(32_768, 1024, 768, 12, 128), "bf16", 524_288, 0.9373, _GPU_RUN + ", section 124m-1024"),
            _speed(_shape(32_768, 2048, 768, 12, 128), "bf16", 524_288, 0.9947, _GPU_RUN + ", section 124m-2048"),
            _speed(_shape(32_768, 2048, 2048, 16, 128), "bf16", 524_288, 5.6275, _GPU_RUN + ", section 1b-2048"),
            _speed(_NANO, "fp8", 1024, 0.0127, _GPU_RUN + ", section learning-fp8"),
            _speed(_shape(32_768, 2048, 2048, 16, 128), "fp8", 524_288, 4.5183, _GPU_RUN + ", section 1b-2048-fp8"),
        ),
        source="NVIDIA data sheet, H100 SXM; " + _SHEET,
    ),
    DeviceKind(
        name="h200",
        marker="H200",
        peak_tflops={"bf16": 989, "fp8": 1979, "fp32": 494},
        memory_gib=139.8,
        usd_per_hour=3.8,
        borrows_from="h100",
        source="unmeasured; NVIDIA data sheet, H200 SXM; " + _SHEET,
    ),
    DeviceKind(
        name="a100",
        marker="A100",
        peak_tflops={"bf16": 312, "fp32": 156},
        memory_gib=79.2,
        usd_per_hour=1.8,
        borrows_from="h100",
        source="unmeasured; NVIDIA data sheet, A100 80GB SXM; " + _SHEET,
    ),
    DeviceKind(
        name="l4",
        marker="L4",
        peak_tflops={"bf16": 121, "fp8": 242, "fp32": 60},
        memory_gib=22.5,
        usd_per_hour=0.7,
        borrows_from="h100",
        source="unmeasured; NVIDIA data sheet, L4, without sparsity; " + _SHEET,
    ),
    DeviceKind(
        name="cpu",
        marker="",
        peak_tflops={"fp32": 0.111, "bf16": 0.497},
        memory_gib=0,
        usd_per_hour=0.04,
        gemm_tflops=0.111,
        step_floor_s=0.002,
        speeds=(
            _speed(_TINY, "fp32", 256, 0.00469, _CPU_RUN),
            _speed(_TINY, "fp32", 1024, 0.01229, _CPU_RUN),
            _speed(_NANO, "fp32", 256, 0.03624, _CPU_RUN),
            _speed(_NANO, "fp32", 1024, 0.08886, _CPU_RUN),
            _speed(_shape(4096, 256, 256, 4, 64), "fp32", 1024, 0.55286, _CPU_RUN),
            _speed(_shape(16_384, 1024, 512, 8, 128), "fp32", 1024, 6.47274, _CPU_RUN),
            _speed(_SMOLLM2_LORA, "fp32", 512, 3.58130, _CPU_RUN + ", --base, on a busy machine"),
            _speed(_SMOLLM2_LORA, "bf16", 512, 1.82348, _CPU_RUN + ", --base, on a busy machine"),
            _speed(_SMOLLM2_LORA, "bf16", 1024, 3.46681, _CPU_RUN + ", --base, on a busy machine"),
        ),
        source="one core of an AMD EPYC (Zen 5) virtual machine; rates: a 1024² product, torch 2.13.0, one thread; "
        "price: a rough hour's rent",
    ),
)
DEVICES: Mapping[str, DeviceKind] = MappingProxyType({kind.name: kind for kind in _KINDS})


def device_kind(name: str) -> DeviceKind:
    """The row of a kind that a recipe names; for an unknown or empty name the one that stands for any GPU."""
    return DEVICES.get(name, DEVICES[_ANY_GPU])


def kind_of_card(card: str) -> DeviceKind | None:
    """The row of a card by the name its driver gives, such as `NVIDIA H100 80GB HBM3`. None: it is in no row."""
    words = card.upper().replace("-", " ").split()
    return next((kind for kind in _KINDS if kind.marker and kind.marker in words), None)


def step_seconds(kind: DeviceKind, work: Counted, precision: str, tokens_a_step: int) -> float:
    """What a step takes on one device, without data, saves and other devices.

    A floor (launches, Python) and the operations at the efficiency that measured rows showed, joined by straight lines
    over the logarithm of a token's operations and constant beyond the ends. Without fp8 a card computes in bf16.
    """
    precision = precision if precision in kind.peak_tflops else "bf16"
    peak = kind.peak_tflops[precision] * 1e12
    lender = DEVICES[kind.borrows_from] if kind.borrows_from else kind
    flops = tokens_a_step * work.flops_per_token + work.flops_per_update
    return lender.step_floor_s + flops / (peak * _efficiency(lender, precision, work.flops_per_token))


def was_measured_near(kind: DeviceKind, work: Counted) -> bool:
    """Whether our loop ran there on a model of like size, so that its time is read off and not extended."""
    asked = math.log(work.flops_per_token)
    told = (math.log(row.work.flops_per_token) for row in kind.speeds if row.step_s > 2 * kind.step_floor_s)
    return any(abs(asked - each) < _NEAR for each in told)


def _efficiency(kind: DeviceKind, precision: str, flops_per_token: float) -> float:
    """The share of the peak that a step reaches beyond the floor; rows that the floor decides tell nothing of it."""
    telling = [speed for speed in kind.speeds if speed.step_s > 2 * kind.step_floor_s]
    rows = [speed for speed in telling if speed.precision == precision] or telling
    reached: dict[float, list[float]] = {}
    for row in rows:
        share = row.flops / (row.step_s - kind.step_floor_s) / (kind.peak_tflops[row.precision] * 1e12)
        reached.setdefault(math.log(row.work.flops_per_token), []).append(share)
    points = sorted((at, fmean(shares)) for at, shares in reached.items())
    at = min(max(math.log(flops_per_token), points[0][0]), points[-1][0])
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            return low + (high - low) * (at - left) / (right - left)
    return points[-1][1]
