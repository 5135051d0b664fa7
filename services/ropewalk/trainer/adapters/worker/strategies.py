"""Which strategy a recipe asks for. Apart from the protocol, so that the strategies may import that."""

import torch.distributed as dist

from ropewalk.model.muon import Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.adapters.worker.strategy import Strategy

ZERO_STAGES = {"zero1": 1, "zero2": 2, "zero3": 3, "deepspeed": 2}


def make_strategy(name: str, loss: NextTokenLoss, rates: Rates, device: Device) -> Strategy:
    """Spread the model of `loss`, which is equal on every rank. Each strategy's library is imported only when needed.

    One rank has nothing to slice, so fsdp there is the same as ddp and spares its overhead.
    """
    if name in ZERO_STAGES:
        from ropewalk.trainer.adapters.worker.zero import Zero

        return Zero(loss, rates, device, ZERO_STAGES[name])
    if name == "fsdp" and dist.get_world_size() > 1:
        from ropewalk.trainer.adapters.worker.fsdp import Fsdp

        return Fsdp(loss, rates, device)
    from ropewalk.trainer.adapters.worker.ddp import Ddp

    return Ddp(loss, rates, device)
