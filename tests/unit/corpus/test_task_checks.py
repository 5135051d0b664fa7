"""What of a task's examples is refused before a run of it, each in one sentence with the remedy."""

import json
from pathlib import Path
from typing import Any

import pytest

from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Limits
from ropewalk.corpus.task_checks import look_at_examples, task_violations, task_warning
from ropewalk.recipes.recipe import Recipe, parse_recipe

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
GOOD = {"input": "how many?", "output": {"n": 1}}
BAD = {"input": "how many?", "output": {"n": "one"}}
EMPTY = {"input": "how many?"}


def a_recipe(folder: Path, records: list[dict[str, Any]], **task: Any) -> Recipe:
    file = folder / "examples.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return parse_recipe(
        {
            "mode": "finetune",
            "base_model": "/models/base",
            "sources": [{"path": str(file), "licence": "MIT", "format": "examples"}],
            "task": {"instruction": "Count.", "json_schema": SCHEMA, **task},
        }
    )


def violations(recipe: Recipe) -> tuple[str, ...]:
    return task_violations(recipe, look_at_examples((recipe, Limits(), ANYWHERE), lambda _: None))


def test_a_task_whose_examples_fit_its_schema_is_accepted(tmp_path: Path) -> None:
    assert violations(a_recipe(tmp_path, [GOOD] * 10)) == ()
    assert violations(a_recipe(tmp_path, [{"input": "a", "output": "b"}] * 10, json_schema=None)) == ()


@pytest.mark.parametrize(
    ("records", "task", "said"),
    [
        ([GOOD] * 9, {}, "they give 9 examples, and this task needs 10 at least"),
        ([GOOD] * 17, {"shots": 16}, "they give 17 examples, and this task needs 18 at least"),
        ([EMPTY] * 3 + [GOOD] * 2, {}, "3 records are set aside, the first is "),
        ([GOOD] * 10 + [EMPTY] * 11, {}, "mend them, as 10 are examples that can be learned from; 11 records"),
        ([GOOD] * 10 + [EMPTY] * 11, {}, "examples.jsonl#11: no answer in the field 'output'"),
        ([BAD] * 12, {}, "'task.json_schema': none of 12 examples fits it; correct the schema or the outputs"),
        ([BAD] * 12, {}, "examples.jsonl#1: field 'n' is not"),
        ([GOOD] * 12, {"json_schema": {"not": {}}}, "'task.json_schema': the schema uses 'not'"),
    ],
)
def test_a_task_that_would_teach_nothing_is_refused(
    tmp_path: Path, records: list[dict[str, Any]], task: dict[str, Any], said: str
) -> None:
    (violation,) = violations(a_recipe(tmp_path, records, **task))
    assert said in violation


def test_some_examples_that_do_not_fit_are_warned_of(tmp_path: Path) -> None:
    recipe = a_recipe(tmp_path, [GOOD] * 10 + [BAD] * 2)
    seen = look_at_examples((recipe, Limits(), ANYWHERE), lambda _: None)
    assert task_violations(recipe, seen) == ()
    assert "2 of 12 examples do not fit the task's schema" in task_warning(seen)
    assert "examples.jsonl#11:" in task_warning(seen)
