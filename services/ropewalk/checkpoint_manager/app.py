"""The composition root of the checkpoint-manager."""

from ropewalk.checkpoint_manager import contract
from ropewalk.checkpoint_manager.adapters.scrubbing import Scrub
from ropewalk.checkpoint_manager.handlers import (
    RunHoldings,
    approve_model,
    conclude,
    export_checkpoint,
    pin_checkpoint,
    promote_model,
    prune_now,
    roll_back,
    verify_checkpoint,
)
from ropewalk.checkpoint_manager.settings import Settings
from ropewalk.runtime.service import Service
from ropewalk.storage.probing import why_unwell


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)
    service.needs.add("objects", lambda: why_unwell(settings.store))  # one of seven writes: a full store reads well
    holdings = RunHoldings()

    service.on(contract.VERIFY, lambda event: verify_checkpoint(event, service.bus, service.objects, holdings))
    service.on(contract.PIN, lambda request: pin_checkpoint(request, service.bus, holdings))
    service.on(contract.PRUNE, lambda request: prune_now(request, service.bus, service.objects, holdings))
    service.on(contract.ROLL_BACK, lambda request: roll_back(request, service.bus, service.objects))
    service.on(
        contract.APPROVE, lambda request: approve_model(request, service.bus, service.objects, settings.approvers)
    )
    service.on(contract.CONCLUDE, lambda event: conclude(event, service.bus))
    if settings.scrub.every_h:
        every_s, bytes_per_s = settings.scrub.every_h * 3600, settings.scrub.mb_per_s * 1e6
        scrub = Scrub(service.objects, every_s=every_s, bytes_per_s=bytes_per_s)
        service.background(lambda: scrub.run(service.bus))
    service.stage(contract.EXPORT, export_checkpoint)
    service.stage(
        contract.PROMOTE,
        lambda ctx, event: promote_model(ctx, event, settings.endpoint),
        when=lambda deployed: not deployed.again,
    )
    return service
