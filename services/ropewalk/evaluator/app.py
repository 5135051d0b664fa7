"""The composition root of the evaluator."""

from functools import partial

from ropewalk.bus.once import RunningFold
from ropewalk.evaluator import contract
from ropewalk.evaluator.domain.promotions import FACTS, Promotions
from ropewalk.evaluator.handlers import evaluate_checkpoint
from ropewalk.evaluator.settings import Settings
from ropewalk.runtime.service import Service


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)
    promotions = RunningFold(Promotions(), lambda known, item: known.add(item.message), *FACTS)
    evaluate = partial(
        evaluate_checkpoint,
        threads=settings.evaluator_threads,
        promotions=promotions,
        task_minutes=settings.evaluator_task_minutes,
    )
    service.stage(contract.EVALUATE, evaluate)
    return service
