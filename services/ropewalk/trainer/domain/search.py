"""The search: one factor on both learning rates, because their ratio is known and their scale is not.

Which factor to try next is the sampler's business (`adapters/ray_trials`); here is what a factor means, what a
trial scores and which one wins.
"""

import math
from collections.abc import Mapping, Sequence

from ropewalk.events.training import SearchCompleted, TrialCompleted
from ropewalk.recipes.recipe import Plan, Recipe
from ropewalk.trainer.errors import TrainingError

LR_FACTOR = "lr_factor"
LOWEST_FACTOR, HIGHEST_FACTOR = 0.25, 4.0
_TAIL = 0.2  # of a trial's steps score it


class NoTrialSucceededError(TrainingError, ValueError):
    """Every trial failed. The text is one sentence with the first reason."""


def num_trials(recipe: Recipe) -> int:
    """How many trials the recipe's search has. Fine-tuning takes its derived rates: they are small and safe."""
    return 0 if recipe.mode == "finetune" else recipe.trials


def trial_params(plan: Plan, factor: float) -> dict[str, float]:
    """The learning rates that a factor means."""
    return {"matrix_lr": plan.matrix_lr * factor, "adam_lr": plan.adam_lr * factor, LR_FACTOR: factor}


def learning_rates(plan: Plan, params: Mapping[str, float]) -> tuple[float, float]:
    """Matrix and Adam rate that a search chose; the plan's own if it chose none."""
    return params.get("matrix_lr", plan.matrix_lr), params.get("adam_lr", plan.adam_lr)


def tail_mean(losses: Sequence[float]) -> float:
    """The score of a trial: the mean loss over its last fifth, at least one step. NaN if there is no loss at all."""
    if not losses:
        return math.nan
    tail = losses[-max(1, math.ceil(len(losses) * _TAIL)) :]
    return math.fsum(tail) / len(tail)


def search_completed(run_id: str, trials: Sequence[TrialCompleted], first_failure: str = "") -> SearchCompleted:
    """The verdict; no trials choose nothing. Raises NoTrialSucceededError if there were some and none ended well."""
    if not trials:
        return SearchCompleted(run_id=run_id, num_trials=0, params={}, loss=0.0)
    ended_well = [trial for trial in trials if trial.status == "complete" and math.isfinite(trial.loss)]
    if not ended_well:
        raise NoTrialSucceededError(
            f"none of the {len(trials)} search trials ended with a finite loss: "
            + (first_failure or "lower the learning rates or look at the data")
        )
    best = min(ended_well, key=lambda trial: (trial.loss, trial.trial))
    return SearchCompleted(run_id=run_id, num_trials=len(trials), params=best.params, loss=best.loss)
