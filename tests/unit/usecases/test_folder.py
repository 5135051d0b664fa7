"""The folder of a task gives a recipe; what is wrong with it is said in a sentence."""

from pathlib import Path
from typing import Any

import pytest

from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import RecipeError
from ropewalk.usecases.folder import INSTRUCTION, RECORDS, SCHEMA, TASK, read_task_folder, write_task_folder
from ropewalk.usecases.schema import AnswerChecker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "my-task"
    write_task_folder(place, "my-task")
    return place


def test_a_new_task_is_a_recipe_once_it_has_a_base_model(folder: Path) -> None:
    recipe = resolve_recipe({**read_task_folder(folder), "base_model": "org/model"})
    assert recipe.name == "my-task"
    assert recipe.task is not None
    assert recipe.task.instruction == (folder / INSTRUCTION).read_text().strip()
    assert [(each.path, each.format) for each in recipe.sources] == [(str(folder / RECORDS), "examples")]
    answers: list[Any] = [{"topic": "order", "urgent": True}, {"topic": "cats"}]
    assert [AnswerChecker(recipe.task.json_schema).fits(answer) for answer in answers] == [True, False]


def test_without_a_schema_answers_are_texts(folder: Path) -> None:
    (folder / SCHEMA).unlink()
    recipe = resolve_recipe({**read_task_folder(folder), "base_model": "org/model"})
    assert recipe.task is not None
    assert recipe.task.json_schema is None


def test_a_folder_that_is_there_stays_as_it_is(folder: Path) -> None:
    with pytest.raises(RecipeError, match="exists already: choose another name"):
        write_task_folder(folder, "other")
    assert 'name: "my-task"' in (folder / TASK).read_text()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (SCHEMA, "{", "schema.json is no JSON: "),
        (SCHEMA, '{"enum": [NaN]}', "schema.json is no JSON: NaN is no JSON"),
        (SCHEMA, '{"const": -Infinity}', "schema.json is no JSON: -Infinity is no JSON"),
        (SCHEMA, '{"const": 1e999}', "schema.json is no JSON: 1e999 is no JSON"),
        (SCHEMA, "[" * 100_000, "schema.json is nested too deeply"),
        (INSTRUCTION, "x" * 300_000, "instruction.md is larger than 256 kB: shorten it"),
        (TASK, "examples: 3", "field 'examples' has the value 3: it is a mapping of fields"),
        (TASK, "task: {instruction: hi}", "field 'task.instruction' stands in instruction.md"),
        (TASK, "sources: []", "field 'sources' is not read: the examples are those of examples.jsonl"),
        (TASK, "task: [", "is not a YAML task"),
    ],
)
def test_what_is_wrong_in_a_folder_is_said_with_its_file(folder: Path, file: str, text: str, said: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(RecipeError) as refused:
        read_task_folder(folder)
    assert said in str(refused.value)


def test_what_is_no_folder_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is no folder of a task: `ropewalk init usecase NAME` makes one"):
        read_task_folder(tmp_path / "none")
