"""Which strategy a recipe asks for. Apart from the protocol, so that the strategies may import that."""

import math

import torch.distributed as dist

from ropewalk.model.muon import Rates
from ropewalk.model.next_token import NextTokenLoss
from ropewalk.recipes.recipe import Recipe
from ropewalk.trainer.adapters.worker.device import Device
from ropewalk.trainer.adapters.worker.strategy import Strategy


def make_strategy(recipe: Recipe, loss: NextTokenLoss, rates: Rates, device: Device) -> Strategy:
    """Spread the model of `loss`, which is equal on every rank. Each strategy's library is imported only when needed.

    A group may be smaller than the recipe's. Replicas that are not sliced are ddp, and spare the overhead of slices.
    """
    num_ranks = dist.get_world_size()
    if recipe.zero_stage:
        from ropewalk.trainer.adapters.worker.zero import Zero

        offload = recipe.offload and device.is_accelerator
        return Zero(loss, rates, device, recipe.zero_stage, offload=offload)
    replicas = math.gcd(recipe.replicas, num_ranks)
    if recipe.chosen_strategy == "fsdp" and replicas < num_ranks:
        from ropewalk.trainer.adapters.worker.fsdp import Fsdp

        return Fsdp(loss, rates, device, replicas)
    from ropewalk.trainer.adapters.worker.ddp import Ddp

    return Ddp(loss, rates, device)


def import_strategy(name: str) -> None:
    """Import ahead of time what `make_strategy` will for the chosen strategy: for a process that forks the ranks."""
    from ropewalk.trainer.adapters.worker import ddp, fsdp  # noqa: F401

    if name.startswith("zero"):
        from ropewalk.trainer.adapters.worker import zero  # noqa: F401
