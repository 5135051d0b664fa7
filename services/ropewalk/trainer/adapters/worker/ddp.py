"""Every rank holds the whole model; gradients are averaged by torch's DistributedDataParallel."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from ropewalk.model.muon import MuonAdamW, Rates
from ropewalk.trainer.adapters.worker.strategy import Snapshot, scale_all, squared_norm


class Ddp:
    """See Strategy."""

    def __init__(self, model: PreTrainedModel, rates: Rates, *, use_muon: bool) -> None:
        self._bare = model
        self._model = DistributedDataParallel(model, gradient_as_bucket_view=True)
        self._optimizer = MuonAdamW(model.named_parameters(), rates, use_muon=use_muon)

    def logits(self, inputs: torch.Tensor, *, last: bool) -> torch.Tensor:
        """See Strategy."""
        self._model.require_backward_grad_sync = last
        return self._model(input_ids=inputs, use_cache=False).logits

    def backward(self, loss: torch.Tensor) -> None:
        """See Strategy."""
        loss.backward()

    def squared_norm_share(self) -> float:
        """See Strategy: the averaged gradients are equal everywhere."""
        return squared_norm(self._optimizer.gradients()) / dist.get_world_size()

    def apply(self, *, gradient_factor: float, rate_scale: float) -> None:
        """See Strategy."""
        scale_all(self._optimizer.gradients(), gradient_factor)
        self._optimizer.step(rate_scale)
        self._optimizer.zero_grad()

    def discard(self) -> None:
        """See Strategy."""
        self._optimizer.zero_grad()

    def snapshot(self) -> Snapshot:
        """See Strategy: no collective, so the other ranks need not copy."""
        if dist.get_rank() != 0:
            return Snapshot(weights={}, optimizer={}, num_updates=self._optimizer.num_updates)
        return Snapshot(
            weights={name: parameter.detach().clone() for name, parameter in self._bare.named_parameters()},
            optimizer={name: tensor.clone() for name, tensor in self._optimizer.state.items()},
            num_updates=self._optimizer.num_updates,
        )

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """See Strategy."""
        for name, tensor in self._optimizer.state.items():
            tensor.copy_(tensors[name])
        self._optimizer.num_updates = num_updates
