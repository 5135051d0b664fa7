"""Optimizer state and gradients are sliced by DeepSpeed's ZeRO-2. AdamW moves everything: ZeRO flattens matrices."""

from collections.abc import Mapping

import deepspeed
import torch
import torch.distributed as dist
from deepspeed.ops.op_builder.all_ops import ALL_OPS
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state, safe_set_full_optimizer_state

from ropewalk.model.muon import Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.trainer.adapters.worker.device import Device, HostCopies
from ropewalk.trainer.adapters.worker.strategy import Snapshot, scale_all, squared_norm

_BETAS = (0.9, 0.95)
_EPSILON = 1e-8
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Zero:
    """See Strategy. `rates.adam_lr` is Muon's companion rate, too high for matrices: a third of it moves everything."""

    def __init__(self, loss: NextTokenLoss, rates: Rates, device: Device) -> None:
        model = loss.model
        _use_no_compiled_ops()
        self._rate = rates.adam_lr / 3
        moving = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for _, p in moving if p.ndim >= 2], "weight_decay": rates.weight_decay},
            {"params": [p for _, p in moving if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=self._rate, betas=_BETAS, eps=_EPSILON
        )
        self._engine, _, _, _ = deepspeed.initialize(
            model=loss, optimizer=optimizer, config=_config(), dist_init_required=False
        )
        self._model, self._moving = model, dict(moving)
        self._num_updates = 0
        self._copies = HostCopies(device)
        self._make_moments()

    def nats(self, inputs: torch.Tensor, targets: torch.Tensor, *, last: bool) -> torch.Tensor:
        """See Strategy."""
        self._engine.set_gradient_accumulation_boundary(last)
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
        for group in self._engine.optimizer.param_groups:
            group["lr"] = self._rate * rate_scale
        self._copies.fence()
        self._engine.step()
        self._num_updates += 1

    def discard(self) -> None:
        """See Strategy: what ZeRO itself does after an fp16 overflow."""
        zero = self._engine.optimizer
        zero.zero_grad(set_to_none=True)
        for index in list(zero.averaged_gradients):
            zero.averaged_gradients[index] = None
            zero.all_grad_tensors[index] = None

    def snapshot(self) -> Snapshot:
        """See Strategy."""
        weights = {name: parameter.detach() for name, parameter in self._model.named_parameters()}
        moments: dict[str, torch.Tensor] = {}
        for name, parameter in self._moving.items():
            weights[name] = safe_get_full_fp32_param(parameter)
            for moment in _MOMENTS:
                moments[f"{name}.{moment}"] = safe_get_full_optimizer_state(parameter, moment)
        copies, wait = self._copies.take(weights | moments, live=True)
        return Snapshot(
            weights={name: copies[name] for name in weights},
            optimizer={name: copies[name] for name in moments},
            num_updates=self._num_updates,
            wait=wait,
        )

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """See Strategy."""
        self._num_updates = num_updates
        for state in self._engine.optimizer.optimizer.state.values():
            state["step"].fill_(num_updates)
        for name, parameter in self._moving.items():
            for moment in _MOMENTS:
                safe_set_full_optimizer_state(parameter, tensors[f"{name}.{moment}"], moment)

    def _make_moments(self) -> None:
        """Make AdamW's state before the first update: ZeRO links it after the first group's, too early for the rest."""
        zero = self._engine.optimizer
        for flat in zero.single_partition_of_fp32_groups:
            zero.optimizer.state[flat] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(flat),
                "exp_avg_sq": torch.zeros_like(flat),
            }
        zero._lazy_init_hp_params_optimizer_state()

    def _gradients(self) -> list[torch.Tensor]:
        groups = self._engine.optimizer.averaged_gradients.values()
        return [gradient for group in groups if group is not None for gradient in group]


def _use_no_compiled_ops() -> None:
    """Say that no operator can be compiled, which also spares the probes with a C compiler.

    Otherwise DeepSpeed builds a shared-memory collective for minutes, and a kill meanwhile leaves a lock that hangs
    every later run. Gloo serves as well.
    """
    deepspeed.ops.__compatible_ops__ = dict.fromkeys(ALL_OPS, False)


def _config() -> dict[str, object]:
    return {
        "train_micro_batch_size_per_gpu": 1,  # only for DeepSpeed's own throughput figures: we weight the loss
        "gradient_accumulation_steps": 1,
        "train_batch_size": dist.get_world_size(),
        "zero_optimization": {"stage": 2, "overlap_comm": False, "reduce_bucket_size": 50_000_000},
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": 0.0,
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }
