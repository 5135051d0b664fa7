"""The composition root of the evaluator."""

from ropewalk.bus.once import RunningFold
from ropewalk.evaluator import contract
from ropewalk.evaluator.domain.promotions import FACTS, Promotions
from ropewalk.evaluator.handlers import evaluate_checkpoint
from ropewalk.evaluator.settings import Settings
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointExported
from ropewalk.runtime.service import Service
from ropewalk.stages.context import StageContext


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)
    promotions = RunningFold(Promotions(), lambda known, item: known.add(item.message), *FACTS)

    async def evaluate(ctx: StageContext, event: CheckpointExported) -> tuple[Message, ...]:
        return await evaluate_checkpoint(ctx, event, settings.compute, promotions)

    service.stage(contract.EVALUATE, evaluate)
    return service
