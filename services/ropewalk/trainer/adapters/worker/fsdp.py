"""Every rank holds a slice of each tensor: FSDP2 (`fully_shard`) per block. With replicas, each of them is sliced."""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from ropewalk.model.muon import Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.adapters.worker.muon_steps import MuonSteps

_KEEP_GATHERED_BELOW = 50_000_000  # weights: for a small model a second all-gather costs more than the memory


class Fsdp(MuonSteps):
    """See Strategy. `num_replicas` groups of neighbouring ranks hold a model each; it divides the number of ranks."""

    def __init__(self, loss: NextTokenLoss, rates: Rates, device: Device, num_replicas: int = 1) -> None:
        sliced = dist.get_world_size() // num_replicas
        shape, names = ((sliced,), ("slice",)) if num_replicas == 1 else ((num_replicas, sliced), ("replica", "slice"))
        mesh = init_device_mesh(device.kind, shape, mesh_dim_names=names)
        reshard = sum(parameter.numel() for parameter in loss.parameters()) >= _KEEP_GATHERED_BELOW
        policy = MixedPrecisionPolicy(param_dtype=device.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
        for block in _blocks(loss):
            fully_shard(block, mesh=mesh, reshard_after_forward=reshard, mp_policy=policy)
        fully_shard(loss, mesh=mesh, reshard_after_forward=False, mp_policy=policy)
        super().__init__(loss, loss, rates, device, num_copies=num_replicas)

    def score(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See Strategy. No backward pass follows that would let go of what the forward pass gathered."""
        found = super().score(inputs, targets)
        for module in self._wrapped.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
        return found

    def average_after(self, last: bool) -> None:
        """See MuonSteps."""
        self._wrapped.set_requires_gradient_sync(last)


def _blocks(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The repeated blocks: the longest module list of the model."""
    lists = [list(module.children()) for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=len, default=[])
