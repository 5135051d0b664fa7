"""The task of a recipe: bounded, only for fine-tuning, and its prompt stands before every example."""

from typing import Any

import pytest

from ropewalk.recipes.recipe import Recipe, RecipeError, parse_recipe

EXAMPLES = {"path": "/data/examples.jsonl", "licence": "MIT", "format": "examples"}


def fields(**task: Any) -> dict[str, Any]:
    return {
        "mode": "finetune",
        "base_model": "/models/base",
        "sources": [EXAMPLES],
        "task": {"instruction": "Answer in JSON.", **task},
    }


def test_the_prompt_is_the_system_turn_of_the_sources_of_examples_and_travels_with_them() -> None:
    recipe = parse_recipe(fields(prompt="As JSON:"))
    assert recipe.sources[0].system == "As JSON:"
    again = parse_recipe(recipe.as_json())
    assert again == recipe
    assert again.sha256() == recipe.sha256()


def test_a_recipe_without_a_task_is_the_recipe_that_it_was() -> None:
    dumped = parse_recipe(
        {"sources": ["/data"], "name": "old"} | {"sources": [{"path": "/d", "licence": "MIT"}]}
    ).as_json()
    assert "task" not in dumped
    assert "system" not in dumped["sources"][0]  # type: ignore[call-overload,operator,index]


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"mode": "pretrain"}, "task is given but mode is 'pretrain'"),
        (fields(prompt="one") | {"sources": [EXAMPLES | {"system": "two"}]}, "has the system 'two'"),
        ({"sources": [EXAMPLES | {"format": "chat", "system": "x"}]}, "set format to 'examples'"),
        (fields(instruction=""), "task.instruction"),
        (fields(json_schema={"enum": ["x" * 70_000]}), "bytes of JSON"),
        (
            fields(json_schema={"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}),
            "more than 32 deep",
        ),
        (fields(compare=["judge"]), "task.compare"),
    ],
)
def test_what_does_not_go_together_is_said(changed: dict[str, Any], part: str) -> None:
    with pytest.raises(RecipeError, match=part):
        parse_recipe(fields() | changed)


def test_a_task_made_in_python_is_as_one_that_was_read() -> None:
    read = parse_recipe(fields(prompt="As JSON:"))
    assert Recipe.model_validate(dict(read)) == read
