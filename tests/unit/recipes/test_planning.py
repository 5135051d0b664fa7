"""From a budget to a recipe with a forecast."""

import pytest

from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.planning import SIZES, TOKENS_A_WEIGHT, Budget, plan_for
from ropewalk.recipes.quotation import TextFacts, quote
from ropewalk.recipes.recipe import RecipeError

BASE = {"base": "python-stdlib"}
START_S = 15.0
ON_H100 = {**BASE, "device": "cuda", "gpu_kind": "h100", "num_workers": 1}


def test_a_budget_is_kept_to_within_a_hundredth() -> None:
    planned = plan_for(ON_H100, Budget(usd=25), TextFacts())
    assert 24.75 < planned.quote.usd.value <= 25
    plan = planned.recipe.derived
    assert planned.quote.tokens == plan.total_steps * plan.batch_size * plan.context_length


def test_the_tighter_of_two_limits_counts() -> None:
    planned = plan_for(ON_H100, Budget(usd=25, hours=1), TextFacts())
    assert 0.99 < planned.quote.seconds.value / 3600 <= 1


def test_the_size_with_the_lowest_expected_loss_is_taken_and_the_others_are_told() -> None:
    planned = plan_for(ON_H100, Budget(usd=25), TextFacts())
    bits = [each.bits_per_byte.value for _, each in planned.others if each.bits_per_byte]
    assert planned.quote.bits_per_byte is not None
    assert planned.quote.bits_per_byte.value <= min(bits)
    assert {planned.recipe.size, *(size for size, _ in planned.others)} == set(SIZES)


def test_more_money_never_makes_a_smaller_model() -> None:
    sizes = [plan_for(ON_H100, Budget(usd=usd), TextFacts()).recipe.size for usd in (0.1, 1, 10, 100)]
    assert sorted(sizes, key=SIZES.index) == sizes


def test_a_size_alone_reads_twenty_tokens_a_weight() -> None:
    planned = plan_for(BASE, Budget(size="nano"), TextFacts())
    assert planned.quote.tokens == pytest.approx(TOKENS_A_WEIGHT * 918_272, rel=0.01)


def test_a_budget_for_no_size_is_refused() -> None:
    with pytest.raises(RecipeError, match="fewer than 10 steps"):
        plan_for(BASE, Budget(usd=1e-9), TextFacts())


def test_what_is_read_many_times_teaches_less_than_fresh_text() -> None:
    recipe = resolve_recipe({**BASE, "minutes": 30})
    fresh, again = quote(recipe).loss, quote(recipe, TextFacts(num_bytes=100_000)).loss
    assert fresh is not None
    assert again is not None
    assert again.value > fresh.value
    assert again.high > fresh.high


def test_a_fine_tuning_has_a_time_and_a_price_and_no_forecast_of_its_loss() -> None:
    quoted = quote(resolve_recipe({**BASE, "mode": "finetune", "base_model": "/model"}))
    assert quoted.loss is None
    assert quoted.seconds.low < quoted.seconds.value < quoted.seconds.high


def test_a_card_that_was_never_measured_has_a_wider_interval_and_says_so() -> None:
    measured = quote(resolve_recipe({**ON_H100, "size": "base"}))
    borrowed = quote(resolve_recipe({**ON_H100, "size": "base", "gpu_kind": "a100"}))
    assert borrowed.seconds.high / borrowed.seconds.low > measured.seconds.high / measured.seconds.low
    assert "never measured on a100" in borrowed.remarks[0]


def test_minutes_on_a_card_are_minutes_of_that_card() -> None:
    h100 = resolve_recipe({**ON_H100, "size": "base", "minutes": 60}).derived
    assert h100.total_steps == pytest.approx(3600 / 0.9947, rel=0.05)  # benchmarks/results/training_gpu.json
    a100 = resolve_recipe({**ON_H100, "size": "base", "minutes": 60, "gpu_kind": "a100"}).derived
    assert a100.total_steps == pytest.approx(h100.total_steps * 312 / 989, rel=0.05)


def test_a_run_that_extends_another_is_quoted_for_its_own_steps() -> None:
    whole = quote(resolve_recipe({**BASE, "training": {"total_steps": 1000}}))
    plan = resolve_recipe({**BASE, "training": {"total_steps": 1000}}).derived
    rest = quote(resolve_recipe({**BASE, "extends": "r-1-900", "plan": plan.model_dump(mode="json")}))
    assert rest.seconds.value - START_S == pytest.approx((whole.seconds.value - START_S) / 10)


def test_several_ranks_of_a_tiny_model_wait_for_each_other_so_its_steps_are_not_quoted_as_free() -> None:
    steps = {**BASE, "size": "tiny", "training": {"total_steps": 600}}
    measured = 22.6  # seconds of training: benchmarks/results/train_step.json
    assert (quote(resolve_recipe(steps)).seconds.value - START_S) == pytest.approx(measured, rel=0.15)
    assert quote(resolve_recipe({**steps, "num_workers": 1})).seconds.value - START_S < measured / 2
