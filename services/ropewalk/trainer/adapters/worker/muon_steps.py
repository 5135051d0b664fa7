"""What the strategies with our own optimizer share. They differ in how the model is wrapped: `ddp`, `fsdp`."""

from collections.abc import Mapping

import torch
import torch.distributed as dist

from ropewalk.model.muon import MuonAdamW, Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.model.sharding import gather_rows, is_sharded, local_part, my_rows
from ropewalk.trainer.adapters.worker.device import Device, HostCopies
from ropewalk.trainer.adapters.worker.strategy import Snapshot, scale_all, squared_norm


class MuonSteps:
    """See Strategy. A subclass wraps `loss` and says when the ranks' gradients are averaged."""

    def __init__(self, loss: NextTokenLoss, wrapped: torch.nn.Module, rates: Rates, device: Device) -> None:
        adapted = any(not parameter.requires_grad for parameter in loss.parameters())
        self._bare, self._wrapped = loss.model, wrapped
        self._optimizer = MuonAdamW(
            loss.model.named_parameters(), rates, use_muon=not adapted, in_bf16=device.is_accelerator
        )
        self._copies = HostCopies(device)

    def average_after(self, last: bool) -> None:
        """Whether the next backward pass averages the gradients over the ranks."""

    def nats(self, inputs: torch.Tensor, targets: torch.Tensor, *, last: bool) -> torch.Tensor:
        """See Strategy."""
        self.average_after(last)
        return self._wrapped(inputs, targets)

    def backward(self, loss: torch.Tensor) -> None:
        """See Strategy."""
        loss.backward()

    def squared_norm_share(self) -> torch.Tensor:
        """See Strategy: whole gradients are equal on every rank, slices are not."""
        norm = squared_norm(self._optimizer.gradients())
        return norm if self._sharded else norm / dist.get_world_size()

    def apply(self, *, gradient_factor: float, rate_scale: float) -> None:
        """See Strategy."""
        scale_all(self._optimizer.gradients(), gradient_factor)
        self._copies.fence()
        self._optimizer.step(rate_scale)
        self._optimizer.zero_grad()

    def discard(self) -> None:
        """See Strategy."""
        self._optimizer.zero_grad()

    def snapshot(self) -> Snapshot:
        """See Strategy: whole tensors are copied by rank 0 alone, slices are gathered by all."""
        weights = {name: parameter.detach() for name, parameter in self._bare.named_parameters()}
        live = weights | dict(self._optimizer.state)  # a moment's name is a weight's and a suffix
        whole = dict(
            zip(live, gather_rows([local_part(each) for each in live.values()], list(live.values())), strict=True)
        )
        copies, wait = self._copies.take(whole if dist.get_rank() == 0 else {}, live=not self._sharded)
        return Snapshot(
            weights={name: copies[name] for name in weights if copies},
            optimizer={name: copies[name] for name in self._optimizer.state if copies},
            num_updates=self._optimizer.num_updates,
            wait=wait,
        )

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """See Strategy."""
        for name, tensor in self._optimizer.state.items():
            local_part(tensor).copy_(my_rows(tensors[name], tensor))
        self._optimizer.num_updates = num_updates

    @property
    def _sharded(self) -> bool:
        return any(is_sharded(parameter) for parameter in self._bare.parameters())
