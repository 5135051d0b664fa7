"""What a factor means, who trains how far, what ends a trial and which rates win."""

import math
from collections.abc import Callable

import pytest

from ropewalk.events.training import RungReached
from ropewalk.recipes.dial import complete
from ropewalk.recipes.ladder import ladder_of, num_trials
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.trainer.domain.search import (
    NoTrialSucceededError,
    Place,
    ended_trials,
    factor_of,
    learning_rates,
    left_to_run,
    rung_loss,
    search_completed,
    trial_params,
)


def a_recipe(**changes: object) -> Recipe:
    recipe = Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="tiny", minutes=0.2)
    return complete(recipe.model_copy(update={"trials": 16, **changes}))


def a_rung(place: Place, loss: float, detail: str = "") -> RungReached:
    trial, rung = place
    return RungReached(run_id="r", trial=trial, rung=rung, num_steps=5, loss=loss, seconds=1.0, detail=detail)


def searched(recipe: Recipe, loss: Callable[[float], float]) -> list[RungReached]:
    """A search in which a factor always has the same loss."""
    journal: list[RungReached] = []
    while wanted := left_to_run(ladder_of(recipe), {(each.trial, each.rung): each.loss for each in journal}):
        journal += [a_rung(place, loss(factor_of(place[0]))) for place in wanted]
    return journal


def best_at(factor: float) -> Callable[[float], float]:
    return lambda tried: 4 + 0.1 * math.log2(tried / factor) ** 2


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
    nothing = search_completed("r", a_recipe(trials=0), ())
    assert nothing.params == {}
    assert nothing.loss == 0.0


def test_a_recipe_that_asks_for_no_search_has_none() -> None:
    assert Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),)).trials == 0


def test_the_first_trial_takes_the_derived_rates_and_the_others_spread_over_four_octaves() -> None:
    factors = [factor_of(trial) for trial in range(16)]
    assert factors[:3] == [1.0, 0.5, 2.0]
    assert len(set(factors)) == 16
    assert 0.25 < min(factors) < 0.3
    assert 3.3 < max(factors) < 4


def test_a_rung_is_scored_by_the_last_fifth_of_its_steps() -> None:
    assert rung_loss([9.0] * 8 + [2.0, 4.0], 10) == 3.0
    assert rung_loss([2.0, 4.0], 10) == 3.0  # the steps since the rung below are enough
    assert math.isnan(rung_loss([], 10))


def test_a_third_of_a_rung_goes_on_and_takes_three_times_the_steps() -> None:
    ladder = ladder_of(a_recipe())
    assert ladder.counts == (16, 5, 1)
    assert ladder.steps[2] == a_recipe().derived.trial_steps
    assert [ladder.steps[2] // steps for steps in ladder.steps] == [9, 3, 1]


def test_the_best_of_a_rung_go_on_once_all_of_it_is_known() -> None:
    ladder = ladder_of(a_recipe())
    losses: dict[Place, float] = {(trial, 0): 5.0 - trial / 100 for trial in range(15)}
    assert left_to_run(ladder, losses) == [(15, 0)]
    losses[15, 0] = math.nan
    assert left_to_run(ladder, losses) == [(14, 1), (13, 1), (12, 1), (11, 1), (10, 1), (0, 1)]
    losses |= {(trial, 1): 4.0 + trial / 100 for trial in range(16)}
    assert left_to_run(ladder, losses) == [(0, 2)]
    losses[0, 2] = 4.0
    assert left_to_run(ladder, losses) == []


def test_the_derived_rates_go_along_to_the_end_so_that_the_choice_is_never_worse() -> None:
    recipe = a_recipe()
    journal = searched(recipe, best_at(3.0))
    assert (0, 2) in {(each.trial, each.rung) for each in journal}
    late = [each.model_copy(update={"loss": 3.0}) if (each.trial, each.rung) == (0, 2) else each for each in journal]
    assert search_completed("r", recipe, journal).params["lr_factor"] == pytest.approx(2.83, abs=0.01)
    assert search_completed("r", recipe, late).params["lr_factor"] == 1.0


def test_derived_rates_that_failed_do_not_go_along() -> None:
    ladder = ladder_of(a_recipe())
    losses: dict[Place, float] = {(trial, 0): 5.0 + trial / 100 for trial in range(16)} | {(0, 0): math.nan}
    assert left_to_run(ladder, losses) == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]


def test_a_search_that_goes_on_from_any_part_of_its_journal_ends_the_same_and_runs_nothing_twice() -> None:
    recipe = a_recipe()
    whole = searched(recipe, best_at(1.6))
    for cut in range(len(whole)):
        journal = list(whole[:cut])
        ran: list[Place] = []
        while wanted := left_to_run(ladder_of(recipe), {(each.trial, each.rung): each.loss for each in journal}):
            place = wanted[-1]  # in another order than the first time
            ran.append(place)
            journal.append(a_rung(place, best_at(1.6)(factor_of(place[0]))))
        assert len(ran) == len(set(ran)) == len(whole) - cut
        assert search_completed("r", recipe, journal) == search_completed("r", recipe, whole)
        assert ended_trials(recipe, journal) == ended_trials(recipe, whole)


def test_the_first_word_on_a_rung_counts() -> None:
    recipe = a_recipe()
    journal = searched(recipe, best_at(1.0))
    later = [each.model_copy(update={"loss": 1.0}) for each in journal if each.trial == 5]
    assert search_completed("r", recipe, [*journal, *later]) == search_completed("r", recipe, journal)


def test_every_trial_ends_once_it_cannot_go_on() -> None:
    recipe = a_recipe(trials=4)
    rungs = [a_rung((0, 0), 5.0), a_rung((1, 0), 4.0), a_rung((2, 0), math.nan, "no memory")]
    assert [(trial.trial, trial.status) for trial in ended_trials(recipe, rungs)] == [(2, "failed")]
    rungs.append(a_rung((3, 0), 6.0))
    assert [(trial.trial, trial.status) for trial in ended_trials(recipe, rungs)] == [(2, "failed"), (3, "pruned")]
    rungs += [a_rung((1, 1), 3.5), a_rung((0, 1), 3.6)]
    ended = ended_trials(recipe, rungs)
    assert [trial.status for trial in ended] == ["complete", "complete", "failed", "pruned"]
    assert ended[1].seconds == 2.0


def test_a_search_whose_trials_all_failed_says_why_the_first_did() -> None:
    recipe = a_recipe(trials=1)
    with pytest.raises(NoTrialSucceededError, match="the dataset has 3 windows"):
        search_completed("r", recipe, [a_rung((0, 0), math.nan, "the dataset has 3 windows")])
