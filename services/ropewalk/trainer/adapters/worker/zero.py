"""Slices by DeepSpeed's ZeRO: of the optimizer state (stage 1), the gradients too (2), the weights too (3).

DeepSpeed averages gradients and gathers weights; the optimizer is ours, over the runs of each parameter that ZeRO
keeps in one flat fp32 tensor per rank. It has one group of parameters, so that its step sees all of them at once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from deepspeed.ops.op_builder.all_ops import ALL_OPS

from ropewalk.model.muon import MuonAdamW, Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.model.sharding import TensorLayout, end_to_end
from ropewalk.trainer.adapters.worker.device import Device, HostCopies
from ropewalk.trainer.adapters.worker.muon_steps import moves_whole
from ropewalk.trainer.adapters.worker.strategy import Snapshot, scale_all, squared_norm
from ropewalk.trainer.adapters.worker.whole_state import take_snapshot


class Zero:
    """See Strategy."""

    def __init__(self, loss: NextTokenLoss, rates: Rates, device: Device, stage: int, *, offload: bool = False) -> None:
        _use_no_compiled_ops()
        self._model, self._stage, self._copies = loss.model, stage, HostCopies(device)
        moving = {name: each for name, each in loss.model.named_parameters() if each.requires_grad}
        use_muon = moves_whole(loss)
        client = _OneStep(list(moving.values()), self._step)
        self._engine, _, _, _ = deepspeed.initialize(
            model=loss, optimizer=client, config=_config(stage, offload), dist_init_required=False
        )
        self._zero = self._engine.optimizer
        self._flat, begins, layouts = _flat_of_3(moving, self._zero) if stage == 3 else _flat_of_2(moving, self._zero)
        self._places = {name: (begins[name], _my_count(layouts[name])) for name in moving}
        self._runs = {name: torch.nn.Parameter(self._my_run(self._flat, name)) for name in moving}
        self._optimizer = MuonAdamW(
            self._runs.items(), rates, layouts=layouts, use_muon=use_muon, in_bf16=device.is_accelerator
        )
        self._rate_scale = 1.0

    def nats(self, inputs: torch.Tensor, targets: torch.Tensor, *beside: torch.Tensor, last: bool) -> torch.Tensor:
        """See Strategy."""
        self._engine.set_gradient_accumulation_boundary(last)
        return self._engine(inputs, targets, *beside)

    def score(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See Strategy."""
        with torch.no_grad():
            return self._engine(inputs, targets)

    def backward(self, loss: torch.Tensor) -> None:
        """See Strategy."""
        self._engine.backward(loss)

    def squared_norm_share(self) -> torch.Tensor:
        """See Strategy: this rank's slices of the averaged gradients."""
        return squared_norm(self._gradients())

    def apply(self, *, gradient_factor: float, rate_scale: float) -> None:
        """See Strategy."""
        scale_all(self._gradients(), gradient_factor)
        self._rate_scale = rate_scale
        self._copies.fence()
        self._engine.step()

    def discard(self) -> None:
        """See Strategy: what ZeRO itself does after an fp16 overflow."""
        self._zero.zero_grad(set_to_none=True)
        for index in list(self._zero.averaged_gradients):
            self._zero.averaged_gradients[index] = None
            if self._stage < 3:
                self._zero.all_grad_tensors[index] = None

    def snapshot(self) -> Snapshot:
        """See Strategy. Up to stage 2 every rank has whole weights."""
        parameters = dict(self._model.named_parameters())
        weights = {name: parameter.detach() for name, parameter in parameters.items()}
        layouts = {name: TensorLayout(shape=parameter.shape) for name, parameter in parameters.items()}
        if self._stage == 3:
            layouts = {name: _layout_of_3(parameter) for name, parameter in parameters.items()}
            weights = {
                name: parameter.ds_tensor.detach().reshape(-1)[: _my_count(layouts[name])]
                for name, parameter in parameters.items()
            }
        return take_snapshot(weights, layouts, self._optimizer, self._copies)

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """See Strategy."""
        self._optimizer.load(tensors, num_updates)

    def _step(self) -> None:
        """What DeepSpeed calls when the flat gradient is complete."""
        for name, run in self._runs.items():
            run.grad = self._my_run(self._flat.grad, name)
        self._optimizer.step(self._rate_scale)
        self._optimizer.zero_grad()

    def _my_run(self, flat: torch.Tensor, name: str) -> torch.Tensor:
        begin, count = self._places[name]
        return flat.detach().narrow(0, begin, count)

    def _gradients(self) -> list[torch.Tensor]:
        if self._zero.cpu_offload if self._stage < 3 else self._zero.offload_optimizer:
            return [self._flat.grad]
        groups = self._zero.averaged_gradients.values()
        return [gradient for group in groups if group is not None for gradient in group]


class _OneStep(torch.optim.Optimizer):
    """What DeepSpeed takes for an optimizer: all parameters in one group, and a step that calls back."""

    def __init__(self, parameters: list[torch.nn.Parameter], act: Callable[[], None]) -> None:
        super().__init__(parameters, {"lr": 1.0})
        self._act = act

    def step(self, closure: object = None) -> None:
        """Move everything."""
        self._act()


def _flat_of_2(
    moving: Mapping[str, torch.nn.Parameter], zero: Any
) -> tuple[torch.Tensor, dict[str, int], dict[str, TensorLayout]]:
    """This rank's flat weights, where in it the run of each parameter begins, and the layout of all (stage 1, 2)."""
    size, rank, world_size = int(zero.partition_size[0]), dist.get_rank(), dist.get_world_size()
    runs = end_to_end([parameter.numel() for parameter in moving.values()], size, world_size)
    layouts = {
        name: TensorLayout(shape=parameter.shape, runs=run, rank=rank)
        for (name, parameter), run in zip(moving.items(), runs, strict=True)
    }
    begins, begin = {}, 0
    for name, layout in layouts.items():
        begins[name] = min(max(begin - rank * size, 0), size)
        begin += layout.shape.numel()
    return zero.single_partition_of_fp32_groups[0], begins, layouts


def _flat_of_3(
    moving: Mapping[str, torch.nn.Parameter], zero: Any
) -> tuple[torch.Tensor, dict[str, int], dict[str, TensorLayout]]:
    """The same of stage 3, where each parameter is cut by itself and filled up to equal lengths."""
    begins = {name: zero.grad_position[zero.get_param_id(parameter)][1] for name, parameter in moving.items()}
    layouts = {name: _layout_of_3(parameter) for name, parameter in moving.items()}
    return zero.fp32_partitioned_groups_flat[0], begins, layouts


def _layout_of_3(parameter: torch.nn.Parameter) -> TensorLayout:
    size, world_size = parameter.partition_numel(), dist.get_world_size()
    (runs,) = end_to_end([parameter.ds_numel], size, world_size)
    return TensorLayout(shape=parameter.ds_shape, runs=runs, rank=dist.get_rank())


def _my_count(layout: TensorLayout) -> int:
    first, last = layout.runs[layout.rank]
    return last - first


def _use_no_compiled_ops() -> None:
    """Say that no operator can be compiled, which also spares the probes with a C compiler.

    Otherwise DeepSpeed builds a shared-memory collective for minutes, and a kill meanwhile leaves a lock that hangs
    every later run. Gloo serves as well.
    """
    deepspeed.ops.__compatible_ops__ = dict.fromkeys(ALL_OPS, False)


def _config(stage: int, offload: bool) -> dict[str, object]:
    zero: dict[str, object] = {"stage": stage, "overlap_comm": False, "reduce_bucket_size": 50_000_000}
    if offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    return {
        "train_micro_batch_size_per_gpu": 1,  # only for DeepSpeed's own throughput figures: we weight the loss
        "gradient_accumulation_steps": 1,
        "train_batch_size": dist.get_world_size(),
        "zero_optimization": zero | {"sub_group_size": 10**15},  # one group for one step
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "gradient_clipping": 0.0,
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }
