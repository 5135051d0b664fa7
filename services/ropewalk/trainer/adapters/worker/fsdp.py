"""Every rank holds a slice of each tensor: FSDP2 (`fully_shard`) per block."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel

from ropewalk.model.muon import MuonAdamW, Rates
from ropewalk.model.sharding import gather_rows, local_part, my_rows
from ropewalk.trainer.adapters.worker.strategy import Snapshot, scale_all, squared_norm

_KEEP_GATHERED_BELOW = 50_000_000  # weights: for a small model a second all-gather costs more than the memory


class Fsdp:
    """See Strategy."""

    def __init__(self, model: PreTrainedModel, rates: Rates, *, use_muon: bool) -> None:
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        reshard = sum(parameter.numel() for parameter in model.parameters()) >= _KEEP_GATHERED_BELOW
        for block in _blocks(model):
            fully_shard(block, mesh=mesh, reshard_after_forward=reshard)
        fully_shard(model, mesh=mesh, reshard_after_forward=False)
        self._model = model
        self._optimizer = MuonAdamW(model.named_parameters(), rates, use_muon=use_muon)

    def logits(self, inputs: torch.Tensor, *, last: bool) -> torch.Tensor:
        """See Strategy."""
        self._model.set_requires_gradient_sync(last)
        return self._model(input_ids=inputs, use_cache=False).logits

    def backward(self, loss: torch.Tensor) -> None:
        """See Strategy."""
        loss.backward()

    def squared_norm_share(self) -> float:
        """See Strategy: this rank's slices."""
        return squared_norm(self._optimizer.gradients())

    def apply(self, *, gradient_factor: float, rate_scale: float) -> None:
        """See Strategy."""
        scale_all([part for part in self._optimizer.gradients() if part.numel()], gradient_factor)
        self._optimizer.step(rate_scale)
        self._optimizer.zero_grad()

    def discard(self) -> None:
        """See Strategy."""
        self._optimizer.zero_grad()

    def snapshot(self) -> Snapshot:
        """See Strategy."""
        live = {name: parameter.detach() for name, parameter in self._model.named_parameters()}
        tensors = [*live.values(), *self._optimizer.state.values()]
        whole = gather_rows([local_part(tensor) for tensor in tensors], tensors)
        return Snapshot(
            weights=dict(zip(live, whole, strict=False)),
            optimizer=dict(zip(self._optimizer.state, whole[len(live) :], strict=True)),
            num_updates=self._optimizer.num_updates,
        )

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """See Strategy."""
        for name, tensor in self._optimizer.state.items():
            local_part(tensor).copy_(my_rows(tensors[name], tensor))
        self._optimizer.num_updates = num_updates


def _blocks(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The repeated blocks: the longest module list of the model."""
    lists = [list(module.children()) for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=len, default=[])
