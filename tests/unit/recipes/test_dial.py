"""What follows from the size and the minutes. Every rule of the dial has a test that names it."""

import pytest

from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Plan

SIZES = ("tiny", "nano", "micro", "small", "base")
NUM_WEIGHTS = {"tiny": 40e3, "nano": 0.6e6, "micro": 4e6, "small": 40e6, "base": 120e6}  # about


def a_plan(**fields: object) -> Plan:
    source = {"path": "/data", "licence": "MIT"}
    return resolve_recipe({"sources": [source], "size": "nano", "minutes": 3.0, **fields}).derived


def a_finetuning(**fields: object) -> Plan:
    return a_plan(mode="finetune", base_model="org/model", **fields)


@pytest.mark.parametrize("size", SIZES)
def test_the_heads_fill_the_width_and_two_of_them_share_keys_and_values(size: str) -> None:
    plan = a_plan(size=size)
    assert plan.num_heads * plan.head_dim == plan.hidden_size
    assert plan.num_kv_heads * 2 == plan.num_heads
    assert plan.intermediate_size == 3 * plan.hidden_size


@pytest.mark.parametrize("size", SIZES)
def test_a_size_has_about_the_weights_that_its_name_stands_for(size: str) -> None:
    plan = a_plan(size=size)
    heads = 2 * plan.num_heads + 2 * plan.num_kv_heads
    block = plan.hidden_size * (heads * plan.head_dim + 3 * plan.intermediate_size)
    weights = plan.num_layers * block + plan.vocab_size * plan.hidden_size
    assert NUM_WEIGHTS[size] / 1.5 < weights < NUM_WEIGHTS[size] * 1.5


def test_the_steps_are_what_the_minutes_allow_at_the_speed_of_the_size() -> None:
    assert (a_plan().total_steps, a_plan(size="micro").total_steps) == (1800, 270)


def test_the_smallest_budget_still_gives_ten_steps_and_as_many_to_the_longest_trial() -> None:
    plan = a_plan(size="base", minutes=0.01)
    assert (plan.total_steps, plan.trial_steps, plan.checkpoint_every, plan.warmup_steps) == (10, 10, 5, 1)


def test_the_warm_up_is_a_tenth_of_a_short_training_and_twenty_steps_of_a_long_one() -> None:
    assert (a_plan(minutes=0.2).warmup_steps, a_plan().warmup_steps) == (12, 20)


def test_the_rate_is_constant_to_sixty_per_cent_of_the_training() -> None:
    assert a_plan().decay_start / a_plan().total_steps == pytest.approx(0.6)


def test_the_rates_are_those_that_were_measured_for_muon_and_adam() -> None:
    plan = a_plan()
    assert (plan.matrix_lr, plan.adam_lr, plan.weight_decay, plan.grad_clip) == (0.02, 0.01, 0.1, 1.0)


def test_a_model_that_was_trained_before_moves_by_a_twentieth_and_is_not_pulled_to_zero() -> None:
    plan = a_finetuning(adapter="lora")
    assert (plan.matrix_lr, plan.adam_lr) == pytest.approx((0.001, 0.0005))
    assert plan.optimizer == a_finetuning(adapter="lora", training={"optimizer": "muon"}).optimizer == "adamw"
    assert plan.weight_decay == 0.0


def test_all_weights_of_a_base_model_are_moved_by_adamw_at_the_rate_that_was_measured_unless_muon_is_asked_for() -> (
    None
):
    alone, beside = a_finetuning(), a_finetuning(training={"optimizer": "muon"})
    assert (alone.optimizer, alone.adam_lr) == ("adamw", pytest.approx(0.0001))
    assert (beside.optimizer, beside.adam_lr) == ("muon", pytest.approx(0.0005))
    assert a_plan(base_model="org/model").optimizer == a_plan().optimizer == "muon"


def test_a_card_compiles_the_blocks_of_a_whole_model_and_never_adapters() -> None:
    assert a_finetuning(device="cuda").compile
    assert not a_finetuning(device="cuda", adapter="lora").compile


def test_a_training_is_saved_about_thirty_times_and_the_longest_trial_is_all_of_it() -> None:
    plan = a_plan()
    assert (plan.total_steps // plan.checkpoint_every, plan.trial_steps) == (30, plan.total_steps)


@pytest.mark.parametrize(
    ("kind", "usd"), [("", 3.0), ("l4", 0.7), ("a100", 1.8), ("h100", 3.0), ("h200", 3.8), ("tomorrows", 3.0)]
)
def test_an_hour_of_a_gpu_costs_what_renting_that_kind_costs(kind: str, usd: float) -> None:
    plan = a_plan(device="cuda", gpu_kind=kind)
    assert (plan.usd_per_gpu_hour, plan.usd_per_cpu_hour) == (usd, 0.04)
