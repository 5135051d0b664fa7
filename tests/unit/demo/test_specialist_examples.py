"""The truth of the specialist's examples, and which functions are taken."""

import ast
import json

import pytest

from ropewalk.demo.specialist.functions import chosen_examples, example_of
from ropewalk.demo.specialist.task import answer_schema, recipe_fields, write_folder
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.usecases.schema import AnswerChecker, check_schema

EVERYTHING = '''
class Quay:
    @staticmethod
    async def berth(ship, /, place: int = 3, *cranes, crew="A", tide: "float | None" = None, **others):
        """Give a ship its place.

        Ignored.
        """
        if ship.is_sunk:
            raise harbour.HarbourError(ship)
        try:
            return place
        except KeyError as error:
            raise error
        raise ValueError
        raise ValueError("again")
'''


def the_example(text):
    function = next(
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return example_of(function, text.splitlines(), "harbour")


def a_function(name, summary="Does what its name says."):
    return f'def {name}(rope):\n    """{summary}"""\n    return rope.{name}\n'


def test_record_names_every_parameter_with_stars_defaults_and_annotations_and_what_is_raised_once():
    assert the_example(EVERYTHING).record == {
        "name": "berth",
        "parameters": [
            {"name": "ship", "default": None, "annotation": None},
            {"name": "place", "default": "3", "annotation": "int"},
            {"name": "*cranes", "default": None, "annotation": None},
            {"name": "crew", "default": "'A'", "annotation": None},
            {"name": "tide", "default": "None", "annotation": "'float | None'"},
            {"name": "**others", "default": None, "annotation": None},
        ],
        "raises": ["ValueError", "harbour.HarbourError"],
        "summary": "Give a ship its place.",
    }


def test_source_is_dedented_and_has_no_decorators():
    assert the_example(EVERYTHING).source.startswith("async def berth(ship, /")


@pytest.mark.parametrize(
    "text",
    [
        "def silent(rope):\n    return rope\n",
        a_function("broken", "A sentence that goes on\n    in the next line."),
        'def outer(rope):\n    """Has one inside."""\n    def inner():\n        raise ValueError\n',
        'def wide(a, b, c, d, e):\n    """Has too many parameters."""\n',
        'def long(rope):\n    """Has a long body."""\n' + "    rope.pull()\n" * 40,
    ],
)
def test_function_whose_record_cannot_be_read_off_a_short_source_is_no_example(tmp_path, text):
    (tmp_path / "m.py").write_text(text)

    assert chosen_examples(tmp_path, 10, 10) == []


def test_same_source_is_taken_once_and_no_module_fills_the_set(tmp_path):
    (tmp_path / "one.py").write_text("".join(a_function(f"f{number}") for number in range(6)))
    (tmp_path / "two.py").write_text(a_function("f0") + a_function("g"))
    (tmp_path / "broken.py").write_text("def (")

    chosen = chosen_examples(tmp_path, 10, 3)

    assert len(chosen) == len({each.source for each in chosen})
    assert sum(each.module == "one" for each in chosen) == 3
    assert "g" in {each.name for each in chosen}


def test_functions_that_show_something_rare_come_first(tmp_path):
    (tmp_path / "m.py").write_text(
        "".join(a_function(f"f{number}") for number in range(5))
        + 'def r(rope):\n    """Fails at once, always."""\n    raise ValueError(rope)\n'
    )

    assert [each.name for each in chosen_examples(tmp_path, 1, 9)] == ["r"]


def test_folder_holds_some_hundred_examples_that_have_the_keys_of_the_schema(tmp_path):
    count = write_folder(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "examples.jsonl").read_text().splitlines()]

    assert count == len(lines) == 480
    assert len({line["module"] for line in lines}) > 100
    assert all(list(line["output"]) == answer_schema()["required"] for line in lines)
    checker = AnswerChecker(answer_schema())
    assert all(checker.parse(json.dumps(line["output"])).is_valid for line in lines)


def test_recipe_is_complete_and_its_schema_can_be_used(tmp_path):
    recipe = resolve_recipe(recipe_fields(tmp_path, "/base"))

    assert recipe.task is not None
    assert check_schema(recipe.task.json_schema) == ""
    assert recipe.sources[0].path == str(tmp_path / "examples.jsonl")
