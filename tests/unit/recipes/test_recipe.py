import pytest

from ropewalk.recipes.builtin import BUILTIN, load_recipe, resolve_recipe
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import RecipeError, parse_recipe

SOURCE = {"path": "/data", "licence": "MIT"}


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_a_built_in_recipe_is_complete_and_travels_as_json(name: str) -> None:
    recipe = resolve_recipe({"base": name})
    assert recipe.derived.total_steps > recipe.derived.decay_start > recipe.derived.warmup_steps
    assert parse_recipe(recipe.as_json()) == recipe


def test_the_identity_follows_the_content() -> None:
    first = resolve_recipe({"base": "python-stdlib"})
    assert resolve_recipe({"base": "python-stdlib"}).sha256() == first.sha256()
    assert resolve_recipe({"base": "python-stdlib", "seed": 18}).sha256() != first.sha256()


def test_the_budget_sets_the_steps_and_an_accepted_plan_stays() -> None:
    short = resolve_recipe({"base": "python-stdlib", "minutes": 1})
    long = resolve_recipe({"base": "python-stdlib", "minutes": 10})
    assert long.derived.total_steps == 10 * short.derived.total_steps
    assert complete(short.model_copy(update={"minutes": 99.0})).derived == short.derived


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sources": [SOURCE], "learning_rate": 1}, "unknown field 'learning_rate' (value 1): remove it"),
        ({}, "field 'sources' is missing"),
        ({"sources": [{"path": "/data"}]}, "field 'sources.0.licence' is missing"),
        ({"sources": [SOURCE], "minutes": "soon"}, "field 'minutes' has the value 'soon'"),
        ({"sources": [SOURCE], "minutes": 0}, "field 'minutes' has the value 0"),
        ({"sources": [SOURCE], "mode": "finetune"}, "base_model is empty"),
        ({"sources": [SOURCE], "base_model": "/m"}, "set mode to 'finetune'"),
        ({"base": "cobol"}, "the built-in recipes are"),
        ({"base": "python-stdlib", "evaluation": {"margin": -1}}, "field 'evaluation.margin' has the value -1"),
    ],
)
def test_a_bad_recipe_is_refused_with_field_value_and_remedy(fields: dict, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve_recipe(fields)
    assert any(sentence in violation for violation in caught.value.violations), caught.value.violations


def test_all_violations_are_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"sources": [SOURCE], "size": "huge", "seed": "x", "foo": 1})
    assert len(caught.value.violations) == 3


def test_a_recipe_file_is_read_and_a_bad_one_named(tmp_path) -> None:
    good = tmp_path / "mine.yaml"
    good.write_text("name: mine\nsources:\n  - {path: /data, licence: MIT}\n")
    assert resolve_recipe(load_recipe(str(good))).name == "mine"
    assert load_recipe("python-stdlib") == {"base": "python-stdlib"}
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [unclosed")
    with pytest.raises(RecipeError, match="is not YAML"):
        load_recipe(str(bad))
    bad.write_text("just text")
    with pytest.raises(RecipeError, match="not a mapping"):
        load_recipe(str(bad))
    with pytest.raises(RecipeError, match="neither a file nor a built-in recipe"):
        load_recipe("no-such-recipe")
