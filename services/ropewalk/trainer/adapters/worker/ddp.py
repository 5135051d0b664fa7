"""Every rank holds the whole model; gradients are averaged by torch's DistributedDataParallel."""

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ropewalk.model.muon import Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.adapters.worker.muon_steps import MuonSteps


class Ddp(MuonSteps):
    """See Strategy. A single rank needs no wrapper."""

    def __init__(self, loss: NextTokenLoss, rates: Rates, device: Device) -> None:
        num_ranks = dist.get_world_size()
        wrapped = loss if num_ranks == 1 else DistributedDataParallel(loss, gradient_as_bucket_view=True)
        super().__init__(loss, wrapped, rates, device, num_copies=num_ranks)

    def average_after(self, last: bool) -> None:
        """See MuonSteps."""
        self._wrapped.require_backward_grad_sync = last
