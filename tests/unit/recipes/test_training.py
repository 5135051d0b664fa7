"""What a recipe says of its training replaces what the dial derives, or is refused in one sentence."""

import re

import pytest

from ropewalk.events.streams import DAY_S, STREAMS
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Plan, Recipe, RecipeError, parse_recipe

SOURCE = {"path": "/data", "licence": "MIT"}
TUNED = {"mode": "finetune", "base_model": "org/m"}


def a_recipe(training: dict[str, object], **fields: object) -> Recipe:
    return resolve_recipe({"sources": [SOURCE], "size": "nano", "training": training, **fields})


def test_a_recipe_that_says_nothing_of_the_training_derives_what_it_always_did() -> None:
    plan = a_recipe({}).derived
    assert plan == resolve_recipe({"sources": [SOURCE], "size": "nano"}).derived
    assert (plan.total_steps, plan.warmup_steps, plan.decay_start, plan.checkpoint_every) == (1800, 20, 1080, 60)


@pytest.mark.parametrize(
    "training",
    [
        {"matrix_lr": 0.03, "adam_lr": 0.02, "weight_decay": 0.0, "grad_clip": 0.5},
        {"total_steps": 100, "warmup_steps": 7, "decay_start": 90, "decay": "cosine", "checkpoint_every": 11},
        {"batch_size": 16, "micro_batch": 2, "activation_checkpointing": True},
        {"num_layers": 3, "context_length": 128, "vocab_size": 1024, "num_kv_heads": 4, "intermediate_size": 200},
        {"validate_every": 25, "patience": 3, "sample_prompts": ["def "]},
    ],
)
def test_a_field_of_the_training_is_the_field_of_the_plan(training: dict[str, object]) -> None:
    plan = a_recipe(training).derived.model_dump(mode="json")
    assert {name: plan[name] for name in training} == training


def test_what_follows_from_a_field_is_derived_from_it() -> None:
    plan = a_recipe({"total_tokens": 1_024_000, "hidden_size": 256}).derived
    assert (plan.total_steps, plan.decay_start) == (1000, 600)
    assert (plan.num_heads, plan.num_kv_heads, plan.intermediate_size) == (8, 4, 768)
    assert a_recipe({"decay": "cosine"}).derived.decay_start == plan.warmup_steps
    lora = a_recipe({"lora_rank": 4}, mode="finetune", base_model="org/m", adapter="lora").derived
    assert (lora.lora_rank, lora.lora_alpha, len(lora.lora_targets)) == (4, 8, 7)


def test_a_base_model_that_reads_on_moves_as_little_as_one_that_is_fine_tuned() -> None:
    recipe = a_recipe({}, base_model="org/m")
    assert recipe.mode == "pretrain"
    assert (recipe.derived.matrix_lr, recipe.derived.weight_decay) == (0.001, 0.1)


def test_looking_at_held_out_windows_takes_about_a_hundredth_of_the_time() -> None:
    plan = a_recipe({}).derived
    learnt = 3 * plan.validate_every * plan.batch_size  # in units of a window that is only looked at
    assert plan.validation_windows / learnt == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(
    ("training", "fields", "sentence"),
    [
        ({"total_steps": 9, "total_tokens": 9}, {}, "total_steps is 9 and total_tokens is 9: give one of them"),
        ({"warmup_steps": 50, "total_steps": 20}, {}, "choose them in rising order"),
        ({"batch_size": 1}, {}, "each of 2 workers needs a window"),
        ({"num_heads": 4, "num_kv_heads": 3}, {}, "num_heads 4 is no multiple of num_kv_heads 3"),
        ({"compile": True}, {}, "device is 'auto': set device to 'cuda'"),
        ({"compile": True}, {**TUNED, "adapter": "dora", "device": "cuda"}, "adapter is 'dora', which is not compiled"),
        ({"lora_rank": 4}, {}, "training.lora_rank is 4 but adapter is 'full': set adapter to 'lora' or 'dora'"),
        (
            {"hidden_size": 64},
            {"mode": "finetune", "base_model": "org/m"},
            "the shape is that of base_model: remove it",
        ),
        ({}, {"mode": "finetune", "base_model": "org/m", "adapter": "qlora"}, "it is 'qlora', which is not there"),
        ({}, {"adapter": "lora"}, "adapter is 'lora' but base_model is empty: name the model that gets adapters"),
        ({"total_tokens": 9}, {}, "training.total_tokens is 9: a single step learns from 1024 tokens"),
        ({}, {"caps": {"usd": 1e-9}}, "caps.usd is 1e-09: a second of training costs 2.*e-05, so allow more"),
        ({}, {"caps": {"minutes": 1e-9}}, "caps.minutes is 1e-09: .* allow more"),
        ({"patience": 2, "early_stop": 3}, {}, "patience is 2 and training.early_stop is 3: .* so give one of them"),
        ({"patience": 2, "validate_every": 0}, {}, "training.validate_every is 0: give it a number of steps"),
        ({"export": "best", "keep_best": 0}, {}, "keep_best is 0 but .* exported.*: set keep_best to 1 or more"),
        ({"early_stop": 3, "keep_best": 0}, {}, "keep_best is 0 but .* or training.export to 'last'"),
        ({}, {"evaluation": {"defer_hours": 697}}, "'evaluation.defer_hours' has the value 697: .*equal to 696"),
        ({"matrix_lr": 99}, {}, "field 'training.matrix_lr' has the value 99"),
        ({"learning_rate": 0.1}, {}, "unknown field 'training.learning_rate'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    training: dict[str, object], fields: dict[str, object], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        a_recipe(training, **fields)


EXAMPLES = {**SOURCE, "format": "examples"}
INPUTS = {**SOURCE, "format": "inputs"}
PAIRS = {**SOURCE, "format": "preferences"}


def test_a_preference_moves_by_a_tenth_of_what_answers_do() -> None:
    plain = a_recipe({}, **TUNED).derived
    plan = a_recipe({"objective": "dpo", "beta": 0.3}, sources=[PAIRS], **TUNED).derived
    assert (plan.objective, plan.beta, plan.document_masks) == ("dpo", 0.3, True)
    assert (plan.matrix_lr, plan.adam_lr) == pytest.approx((plain.matrix_lr / 10, plain.adam_lr / 10))
    assert (plain.objective, plain.document_masks) == ("sft", True)


@pytest.mark.parametrize(
    ("training", "fields", "part"),
    [
        (
            {"objective": "dpo"},
            {"sources": [PAIRS]},
            "objective is 'dpo' but mode is 'pretrain': set mode to 'finetune'",
        ),
        ({"objective": "dpo"}, {**TUNED}, "sources.0 has the format 'auto': give records with `chosen` and `rejected`"),
        ({}, {**TUNED, "sources": [PAIRS]}, "sources.0 has the format 'preferences': set training.objective to 'dpo'"),
        (
            {"objective": "dpo", "early_stop": 3},
            {**TUNED, "sources": [PAIRS]},
            "objective is 'dpo' but early_stop or export asks for the lowest validation loss",
        ),
        ({"beta": 0.2}, {**TUNED}, "training.beta is 0.2 but training.objective is 'sft': set it to 'dpo'"),
        (
            {"objective": "dpo", "document_masks": False},
            {**TUNED, "sources": [PAIRS]},
            "training.document_masks is false, and two answers share a window",
        ),
        ({"objective": "distill"}, {**TUNED, "sources": [EXAMPLES]}, "there is no task: give task.instruction"),
        (
            {"objective": "distill"},
            {**TUNED, "task": {"instruction": "x"}},
            "sources.0 has the format 'auto': give records with `input` and `output`",
        ),
        (
            {"kl_weight": 0.1},
            {**TUNED},
            "training.kl_weight is 0.1 but training.objective is 'sft': set it to 'distill'",
        ),
        ({}, {**TUNED, "sources": [EXAMPLES, INPUTS]}, "sources.1 has the format 'inputs': give task.json_schema"),
        (
            {},
            {**TUNED, "sources": [INPUTS], "task": {"instruction": "x", "json_schema": {"type": "integer"}}},
            "every source has the format 'inputs': add one with the format 'examples' to judge the model by",
        ),
        ({"objective": "ppo"}, {}, "training.objective"),
    ],
)
def test_an_objective_without_its_data_is_refused(
    training: dict[str, object], fields: dict[str, object], part: str
) -> None:
    with pytest.raises(RecipeError, match=re.escape(part)):
        a_recipe(training, **fields)


def test_a_training_that_an_accepted_plan_contradicts_is_refused() -> None:
    accepted = a_recipe({"matrix_lr": 0.03}).as_json()
    assert parse_recipe(accepted).derived.matrix_lr == 0.03
    with pytest.raises(RecipeError, match=r"training\.matrix_lr is 0.04 but the plan says otherwise"):
        parse_recipe({**accepted, "training": {"matrix_lr": 0.04}})


def test_a_plan_of_before_these_fields_is_read() -> None:
    old = {name: value for name, value in a_recipe({}).derived.model_dump().items() if name != "validate_every"}
    assert Plan.model_validate(old).validate_every == 0


def test_none_of_the_best_need_be_kept_where_the_last_checkpoint_becomes_the_model() -> None:
    for training in ({"keep_best": 0}, {"keep_best": 0, "early_stop": 3, "export": "last"}):
        assert (a_recipe(training).derived.keep_best, a_recipe(training).derived.export) == (0, "last")


def test_a_decision_waits_no_longer_than_a_timer_of_the_bus_lives() -> None:
    most = a_recipe({}, evaluation={"defer_hours": 696}).evaluation.defer_hours
    (timers,) = [each for each in STREAMS if each.name == "SCHED"]
    assert most * 3600 + DAY_S <= timers.max_age_s
