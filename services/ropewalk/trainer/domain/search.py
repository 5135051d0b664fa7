"""The search: one factor on both learning rates, because their ratio is known and their scale is not. Pure.

Successive halving whose rungs continue (Jamieson and Talwalkar 2016; ASHA, arXiv 1810.05934, without its promotions
ahead of time): every trial trains to the first rung, the best third goes on from its own checkpoint to the next.
A rung's trials cost the same, so waiting for its last costs little, and what is decided depends on losses alone, not
on the order in which they came: a search that is killed and goes on decides the same.

Short trainings prefer higher rates than long ones. So no short training is judged here: a trial runs the schedule of
the whole training, a rung only drops two thirds, and the last decision falls where that schedule ends. The derived
rates (trial 0) go along to the end, so that the choice is never worse than they are.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from ropewalk.events.training import RungReached, SearchCompleted, TrialCompleted
from ropewalk.recipes.ladder import Ladder, ladder_of, num_trials
from ropewalk.recipes.recipe import Plan, Recipe
from ropewalk.trainer.errors import TrainingError

LR_FACTOR = "lr_factor"
LOWEST_FACTOR, HIGHEST_FACTOR = 0.25, 4.0
_TAIL = 0.2  # of a rung's steps score it

Place = tuple[int, int]  # trial, rung


class NoTrialSucceededError(TrainingError, ValueError):
    """Every trial failed. The text is one sentence with the first reason."""


def factor_of(trial: int) -> float:
    """The factor of a trial: 1 first, then every half of what was left out (van der Corput), over four octaves."""
    share, digit, number = 0.0, 0.5, trial + 1
    while number:
        share += digit * (number & 1)
        number, digit = number >> 1, digit / 2
    return float(LOWEST_FACTOR * (HIGHEST_FACTOR / LOWEST_FACTOR) ** share)


def trial_params(plan: Plan, factor: float) -> dict[str, float]:
    """The learning rates that a factor means."""
    return {"matrix_lr": plan.matrix_lr * factor, "adam_lr": plan.adam_lr * factor, LR_FACTOR: factor}


def learning_rates(plan: Plan, params: Mapping[str, float]) -> tuple[float, float]:
    """Matrix and Adam rate that a search chose; the plan's own if it chose none."""
    return params.get("matrix_lr", plan.matrix_lr), params.get("adam_lr", plan.adam_lr)


def rung_loss(losses: Sequence[float], num_steps: int) -> float:
    """The score of a rung: the mean loss over the last fifth of its steps, at least one. NaN if there is no loss."""
    tail = losses[-max(1, math.ceil(num_steps * _TAIL)) :]
    return math.fsum(tail) / len(tail) if tail else math.nan


def left_to_run(ladder: Ladder, losses: Mapping[Place, float]) -> list[Place]:
    """What is to be trained now, given the losses there are (NaN: it failed). Nothing: the search is over."""
    for rung in range(len(ladder.counts)):
        missing = [(trial, rung) for trial in _members(ladder, losses, rung) if (trial, rung) not in losses]
        if missing:
            return missing
    return []


def ended_trials(recipe: Recipe, journal: Iterable[RungReached]) -> tuple[TrialCompleted, ...]:
    """The trials whose end is known, by number: they failed, reached the last rung or were not among the best."""
    ladder, reached = ladder_of(recipe), _by_place(journal)
    losses = {place: rung.loss for place, rung in reached.items()}
    newest = dict(sorted(reached))  # by trial, the last rung of each
    return tuple(
        TrialCompleted.model_validate(
            {
                "run_id": reached[trial, rung].run_id,
                "trial": trial,
                "status": _status(losses[trial, rung], is_last=rung == len(ladder.counts) - 1),
                "params": trial_params(recipe.derived, factor_of(trial)),
                "loss": losses[trial, rung],
                "num_steps": reached[trial, rung].num_steps,
                "seconds": math.fsum(reached[trial, level].seconds for level in range(rung + 1)),
            }
        )
        for trial, rung in newest.items()
        if not _may_go_on(ladder, losses, trial, rung)
    )


def _may_go_on(ladder: Ladder, losses: Mapping[Place, float], trial: int, rung: int) -> bool:
    if not math.isfinite(losses[trial, rung]) or rung == len(ladder.counts) - 1:
        return False
    is_whole = all((member, rung) in losses for member in _members(ladder, losses, rung))
    return not is_whole or trial in _members(ladder, losses, rung + 1)


def _status(loss: float, *, is_last: bool) -> str:
    return "failed" if not math.isfinite(loss) else "complete" if is_last else "pruned"


def search_completed(run_id: str, recipe: Recipe, journal: Sequence[RungReached]) -> SearchCompleted:
    """The verdict; no trials choose nothing. Raises NoTrialSucceededError if there were some and none ended well."""
    if not journal:
        return SearchCompleted(run_id=run_id, num_trials=0, params={}, loss=0.0)
    finite = [rung for rung in _by_place(journal).values() if math.isfinite(rung.loss)]
    if not finite:
        reason = next((rung.detail for rung in journal if rung.detail), "")
        raise NoTrialSucceededError(
            f"none of the {num_trials(recipe)} search trials ended with a finite loss: "
            + (reason or "lower the learning rates or look at the data")
        )
    best = min(finite, key=lambda rung: (-rung.rung, rung.loss, rung.trial))
    params = trial_params(recipe.derived, factor_of(best.trial))
    return SearchCompleted(run_id=run_id, num_trials=num_trials(recipe), params=params, loss=best.loss)


def _by_place(journal: Iterable[RungReached]) -> dict[Place, RungReached]:
    """The first word on a rung counts: a holder that lost its lease may have said another one later."""
    reached: dict[Place, RungReached] = {}
    for rung in journal:
        reached.setdefault((rung.trial, rung.rung), rung)
    return reached


def _members(ladder: Ladder, losses: Mapping[Place, float], rung: int) -> list[int]:
    """Who trains to a rung; the rung below it is complete."""
    if rung == 0:
        return list(range(ladder.counts[0]))
    below = [(loss, trial) for (trial, level), loss in losses.items() if level == rung - 1 and math.isfinite(loss)]
    best = [trial for _, trial in sorted(below)[: ladder.counts[rung]]]
    derived = [0] if 0 not in best and any(trial == 0 for _, trial in below) else []
    return [*best, *derived]
