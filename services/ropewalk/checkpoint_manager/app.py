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
from ropewalk.runtime.service import Service


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)
    holdings = RunHoldings()

    service.on(contract.VERIFY, lambda event: verify_checkpoint(event, service.bus, service.objects, holdings))
    service.on(contract.CONCLUDE, lambda event: conclude(event, service.bus))
    service.stage(contract.EXPORT, export_checkpoint)
    service.stage(contract.PROMOTE, lambda ctx, event: promote_model(ctx, event, settings.endpoint))
    return service
