"""What a factor means, what a trial scores and which one wins."""

import math

import pytest

from ropewalk.events.training import TrialCompleted
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.trainer.domain.search import (
    NoTrialSucceededError,
    learning_rates,
    num_trials,
    search_completed,
    tail_mean,
    trial_params,
)


def a_recipe(**changes: object) -> Recipe:
    recipe = Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="tiny", minutes=0.1)
    return complete(recipe.model_copy(update=changes))


def a_trial(number: int, loss: float, *, status: str = "complete") -> TrialCompleted:
    return TrialCompleted.model_validate(
        {
            "run_id": "r",
            "trial": number,
            "status": status,
            "params": {"lr_factor": float(number)},
            "loss": loss,
            "num_steps": 5,
            "seconds": 1.0,
        }
    )


def test_a_factor_scales_both_rates_and_is_what_training_takes() -> None:
    plan = a_recipe().derived
    params = trial_params(plan, 2.0)
    assert params["lr_factor"] == 2.0
    assert learning_rates(plan, params) == (plan.matrix_lr * 2, plan.adam_lr * 2)


def test_a_search_that_chose_nothing_leaves_the_derived_rates() -> None:
    plan = a_recipe().derived
    assert learning_rates(plan, {}) == (plan.matrix_lr, plan.adam_lr)


def test_fine_tuning_and_zero_trials_search_nothing() -> None:
    assert num_trials(a_recipe(trials=3)) == 3
    assert num_trials(a_recipe(trials=0)) == 0
    assert num_trials(a_recipe(trials=3, mode="finetune", base_model="/model")) == 0
    nothing = search_completed("r", ())
    assert nothing.params == {}
    assert nothing.loss == 0.0


def test_a_trial_is_scored_by_the_last_fifth_of_its_steps() -> None:
    assert tail_mean([9.0] * 8 + [2.0, 4.0]) == 3.0
    assert tail_mean([5.0]) == 5.0
    assert math.isnan(tail_mean([]))


def test_the_lowest_loss_of_those_that_ended_wins() -> None:
    trials = [a_trial(0, 2.0), a_trial(1, 1.0, status="pruned"), a_trial(2, 1.5), a_trial(3, math.nan)]
    completed = search_completed("r", trials)
    assert completed.params == {"lr_factor": 2.0}
    assert completed.loss == 1.5
    assert completed.num_trials == 4


def test_a_search_whose_trials_all_failed_says_why_the_first_did() -> None:
    with pytest.raises(NoTrialSucceededError, match="the dataset has 3 windows"):
        search_completed("r", [a_trial(0, math.nan, status="failed")], "the dataset has 3 windows")
