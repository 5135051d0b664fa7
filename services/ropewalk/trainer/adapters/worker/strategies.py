"""Which strategy a recipe asks for. Apart from the protocol, so that the strategies may import that."""

from transformers import PreTrainedModel

from ropewalk.model.muon import Rates
from ropewalk.trainer.adapters.worker.strategy import Strategy


def make_strategy(name: str, model: PreTrainedModel, rates: Rates, *, adapters: bool) -> Strategy:
    """Spread `model`, which is equal on every rank. Each strategy's library is imported only when asked for."""
    if name == "fsdp":
        from ropewalk.trainer.adapters.worker.fsdp import Fsdp

        return Fsdp(model, rates, use_muon=not adapters)
    if name == "deepspeed":
        from ropewalk.trainer.adapters.worker.zero import Zero

        return Zero(model, rates)
    from ropewalk.trainer.adapters.worker.ddp import Ddp

    return Ddp(model, rates, use_muon=not adapters)
