"""An input with its output is read as a conversation, or set aside with the reason."""

import json
from datetime import date
from typing import Any

import pytest

from ropewalk.corpus.reading.records import Content, Flaw, Record, content_of
from ropewalk.recipes.recipe import SourceRecipe


def read(record: dict[str, Any], **fields: Any) -> Content | Flaw:
    return content_of(Record(record, 1), SourceRecipe(path="/d", licence="MIT", format="examples", **fields))


def test_an_example_is_what_the_user_says_and_what_is_answered_behind_the_short_prompt() -> None:
    found = read({"input": "Ada, 36", "output": {"name": "Adä", "age": 36}, "note": "checked"}, system="As JSON:")
    assert isinstance(found, Content)
    assert [(turn.role, turn.content) for turn in found.messages] == [
        ("system", "As JSON:"),
        ("user", "Ada, 36"),
        ("assistant", '{"name":"Adä","age":36}'),
    ]


def test_examples_of_one_input_are_held_out_together_whatever_stands_before_them() -> None:
    one, other = read({"input": "a", "output": "x"}), read({"input": "a", "output": ["y"]}, system="Shortly:")
    assert isinstance(one, Content)
    assert isinstance(other, Content)
    assert one.split_key == other.split_key
    assert one.doc_id != other.doc_id
    third = read({"input": "b", "output": "x", "user": 7}, key_field="user")
    assert isinstance(third, Content)
    assert third.split_key not in ("", one.split_key)


@pytest.mark.parametrize(
    ("record", "part"),
    [
        ({"input": "a"}, "no answer"),
        ({"input": "a", "output": None}, "no answer"),
        ({"input": "a", "output": " "}, "no answer"),
        ({"input": "a", "output": 3}, "an object, a list or a text"),
        ({"output": "x"}, "no text in the field 'input'"),
        ({"input": {"a": 1}, "output": "x"}, "the input is no text"),
        ({"input": " \n", "output": "x"}, "the input is empty"),
        ({"input": "a\0", "output": "x"}, "NUL"),
    ],
)
def test_a_record_that_teaches_nothing_says_why(record: dict[str, Any], part: str) -> None:
    found = read(json.loads(json.dumps(record)))
    assert isinstance(found, Flaw)
    assert found.reason == "bad_messages"
    assert part in found.detail


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ({"n": float("nan")}, "the output holds what JSON cannot say"),
        ({"at": date(2026, 1, 1)}, "the output holds what JSON cannot say"),  # out of a Parquet file
        ([b"1"], "the output holds what JSON cannot say"),
        (deep(100_000), "the output is nested too deeply"),
    ],
    ids=["NaN", "date", "bytes", "deep"],
)
def test_an_output_that_is_no_json_is_set_aside_and_ends_no_source(output: object, part: str) -> None:
    found = read({"input": "a", "output": output})
    assert isinstance(found, Flaw)
    assert part in found.detail
