"""What the strategies on torch's own wrappers share. They differ in how the model is wrapped: `ddp`, `fsdp`."""

from collections.abc import Mapping

import torch

from ropewalk.model.muon import MuonAdamW, Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.model.sharding import layout_of, local_part
from ropewalk.trainer.adapters.worker.device import Device, HostCopies
from ropewalk.trainer.adapters.worker.strategy import Snapshot, scale_all, squared_norm
from ropewalk.trainer.adapters.worker.whole_state import take_snapshot


class MuonSteps:
    """See Strategy. A subclass wraps `loss` and says when the ranks' gradients are averaged.

    `num_copies` ranks hold each part of a parameter.
    """

    def __init__(
        self, loss: NextTokenLoss, wrapped: torch.nn.Module, rates: Rates, device: Device, num_copies: int
    ) -> None:
        self._bare, self._wrapped, self._num_copies = loss.model, wrapped, num_copies
        self._optimizer = MuonAdamW(
            loss.model.named_parameters(), rates, use_muon=moves_whole(loss), in_bf16=device.is_accelerator
        )
        self._copies = HostCopies(device)

    def average_after(self, last: bool) -> None:
        """Whether the next backward pass averages the gradients over the ranks."""

    def nats(self, inputs: torch.Tensor, targets: torch.Tensor, *beside: torch.Tensor, last: bool) -> torch.Tensor:
        """See Strategy."""
        self.average_after(last)
        return self._wrapped(inputs, targets, *beside)

    def score(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See Strategy."""
        with torch.no_grad():
            return self._wrapped(inputs, targets)

    def backward(self, loss: torch.Tensor) -> None:
        """See Strategy."""
        loss.backward()

    def squared_norm_share(self) -> torch.Tensor:
        """See Strategy: what several ranks hold counts once."""
        return squared_norm(self._optimizer.gradients()) / self._num_copies

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
        """See Strategy."""
        weights = dict(self._bare.named_parameters())
        layouts = {name: layout_of(parameter) for name, parameter in weights.items()}
        parts = {name: local_part(parameter.detach()) for name, parameter in weights.items()}
        return take_snapshot(parts, layouts, self._optimizer, self._copies)

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor], num_updates: int) -> None:
        """See Strategy."""
        self._optimizer.load(tensors, num_updates)


def moves_whole(loss: NextTokenLoss) -> bool:
    """Whether the whole model is trained, which Muon suits; adapters are moved by AdamW."""
    return all(parameter.requires_grad for parameter in loss.parameters())
