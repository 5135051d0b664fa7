"""The composition root of the evaluator."""

from functools import partial

from ropewalk.bus.once import RunningFold
from ropewalk.evaluator import contract
from ropewalk.evaluator.adapters.judging.desk import JudgesDesk
from ropewalk.evaluator.adapters.judging.summoning import Means
from ropewalk.evaluator.adapters.labelling.raters import invite_rater, revoke_rater
from ropewalk.evaluator.adapters.labelling.review_desk import ReviewDesk
from ropewalk.evaluator.adapters.labelling.review_page import serve_review
from ropewalk.evaluator.adapters.validating import Validator
from ropewalk.evaluator.domain import budget, promotions
from ropewalk.evaluator.handlers import (
    decide_at_deadline,
    evaluate_checkpoint,
    evaluate_or_defer,
    freeze_task_set,
    judge_again,
    register_task_set,
)
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
        means=Means(
            threads=settings.evaluator_threads,
            task_minutes=settings.evaluator_task_minutes,
            judge_keys=settings.judge_keys,
        ),
        promotions=RunningFold(known, lambda state, item: state.add(item.message), *promotions.FACTS),
        tries=RunningFold(tries, lambda state, item: state.add(item.message), *budget.FACTS),
    )
    # one opponent may take all the minutes before it is heard of
    judge = partial(evaluate_or_defer, evaluate=evaluate)
    service.stage(contract.EVALUATE, judge, stall_s=1800.0 + 60 * settings.evaluator_task_minutes)
    service.on(contract.AGAIN, lambda request: judge_again(request, service.bus))
    service.on(contract.INVITE, lambda request: invite_rater(request, service.bus))
    service.on(contract.REVOKE, revoke_rater)
    service.reads(*contract.CONTRACT.tables)
    service.on_due(contract.DEFERRAL, lambda timer: decide_at_deadline(timer, service.bus))
    validator = Validator(service.objects, contract.VALIDATE, settings.evaluator_niceness)
    service.background(lambda: validator.run(service.bus))
    desk = JudgesDesk(service.objects, contract.JUDGES, settings)
    service.background(lambda: desk.run(service.bus))
    if port := settings.evaluator_review_port:
        service.background(
            lambda: serve_review(ReviewDesk(service.bus, service.objects), settings.evaluator_review_host, port)
        )
    return service
