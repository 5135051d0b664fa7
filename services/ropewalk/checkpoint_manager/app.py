"""The composition root of the checkpoint-manager."""

from ropewalk.checkpoint_manager import contract
from ropewalk.checkpoint_manager.handlers import (
    RunHoldings,
    conclude,
    export_checkpoint,
    promote_model,
    verify_checkpoint,
)
from ropewalk.checkpoint_manager.settings import Settings
from ropewalk.delivery.outcome import Outcome
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.serving import ModelDeployed
from ropewalk.runtime.service import Service
from ropewalk.stages.context import StageContext


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)
    holdings = RunHoldings()

    async def on_saved(event: CheckpointSaved) -> Outcome:
        return await verify_checkpoint(event, service.bus, service.objects, holdings)

    async def on_gate(event: GateDecided) -> Outcome:
        return await conclude(event, service.bus)

    async def promote(ctx: StageContext, event: ModelDeployed) -> tuple[Message, ...]:
        return await promote_model(ctx, event, settings.endpoint)

    service.on(contract.VERIFY, on_saved)
    service.on(contract.CONCLUDE, on_gate)
    service.stage(contract.EXPORT, export_checkpoint)
    service.stage(contract.PROMOTE, promote)
    return service
