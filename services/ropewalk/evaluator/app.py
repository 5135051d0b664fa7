"""The composition root of the evaluator."""

from functools import partial

from ropewalk.bus.once import RunningFold
from ropewalk.evaluator import contract
from ropewalk.evaluator.adapters.validating import Validator
from ropewalk.evaluator.domain import budget, promotions
from ropewalk.evaluator.handlers import evaluate_checkpoint, freeze_task_set, register_task_set
from ropewalk.evaluator.settings import Settings
from ropewalk.runtime.service import Service


def build(settings: Settings) -> Service:
    """The service, wired and not yet running."""
    service = Service(contract.CONTRACT.service, settings)
    service.on(contract.REGISTER, lambda request: register_task_set(request, service.bus, service.objects))
    service.on(contract.FREEZE, lambda request: freeze_task_set(request, service.bus))
    known, tries = promotions.Promotions(), budget.Tries()
    evaluate = partial(
        evaluate_checkpoint,
        threads=settings.evaluator_threads,
        promotions=RunningFold(known, lambda state, item: state.add(item.message), *promotions.FACTS),
        tries=RunningFold(tries, lambda state, item: state.add(item.message), *budget.FACTS),
        task_minutes=settings.evaluator_task_minutes,
    )
    # one opponent may take all the minutes before it is heard of
    service.stage(contract.EVALUATE, evaluate, stall_s=1800.0 + 60 * settings.evaluator_task_minutes)
    service.reads(contract.VALIDATE)
    validator = Validator(service.objects, contract.VALIDATE, settings.evaluator_niceness)
    service.background(lambda: validator.run(service.bus))
    return service
