"""How workers share a training when the recipe does not say."""

import pytest

from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.recipes.spreading import default_strategy

LARGE = {"hidden_size": 2048, "num_layers": 24, "num_heads": 16, "head_dim": 128, "intermediate_size": 6144}


def a_recipe(**changes: object) -> Recipe:
    return Recipe.model_validate({"sources": [SourceRecipe(path="/p", licence="CC0-1.0")], **changes})


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        ({}, "ddp"),
        ({"num_workers": 1}, "single"),
        ({"mode": "finetune", "base_model": "base"}, "fsdp"),
        ({"strategy": "deepspeed"}, "zero2"),
        ({"strategy": "fsdp"}, "fsdp"),
    ],
)
def test_the_plan_says_how_the_training_is_shared(given, strategy):
    recipe = complete(a_recipe(**given))
    assert (recipe.derived.strategy, recipe.chosen_strategy) == (strategy, strategy)


@pytest.mark.parametrize(
    ("given", "strategy"),
    [({}, "fsdp"), ({"device": "cuda", "gpu_kind": "h100"}, "ddp"), ({"device": "cuda", "gpu_kind": "l4"}, "fsdp")],
)
def test_a_model_of_a_billion_weights_is_sliced_where_it_does_not_fit(given, strategy):
    recipe = complete(a_recipe(**given))
    assert default_strategy(recipe, recipe.derived.model_copy(update=LARGE)) == strategy


def test_a_recipe_of_a_log_that_names_its_strategy_keeps_it():
    old = complete(a_recipe(strategy="fsdp")).as_json()
    del old["plan"]["strategy"], old["replicas"], old["offload"]
    assert Recipe.model_validate(old).chosen_strategy == "fsdp"
