"""Answers are valid as `jsonschema` has it, a schema that would be half understood is refused, and time is bounded."""

import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.usecases.schema import AnswerChecker, check_schema

RECORD = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"], "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0, 0.3]) | st.text("ab", max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "additionalProperties": inner,
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "items": inner,
            "prefixItems": some,
            "anyOf": some,
            "oneOf": some,
            "allOf": some,
        },
    )


LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["object", "array", "string", "number", "integer", "boolean", "null", ["string", "null"]]
        ),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "minimum": st.integers(-2, 2),
        "exclusiveMaximum": st.sampled_from([0.5, 2]),
        "multipleOf": st.sampled_from([2, 0.5]),  # 0.1 has no exact double: see below
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
    },
)
SCHEMAS = st.recursive(LEAVES | st.booleans(), _nested, max_leaves=5).filter(lambda each: isinstance(each, dict))


@settings(max_examples=300, deadline=None)
@given(schema=SCHEMAS, value=VALUES)
def test_validity_is_that_of_the_reference_library(schema: dict[str, Any], value: Any) -> None:
    wanted = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert AnswerChecker(schema).parse(json.dumps(value)).is_valid == wanted


def test_references_are_followed_also_in_circles() -> None:
    tree = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["x"]}}}
    checker = AnswerChecker({**tree, "$ref": "#/$defs/node"})
    assert checker.parse('{"x": 1, "next": {"x": 2}}').is_valid
    assert not checker.parse('{"x": 1, "next": {"y": 2}}').is_valid
    assert not AnswerChecker({"$ref": "#"}).parse("1").is_valid  # says nothing but itself


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sure! {}",
        "```json\n{}\n```",
        "{} and so on",
        "NaN",
        "[1e999]",
        "1" * 5000,
        "[" * 100_000,
        "[" * 70 + "]" * 70,
    ],
)
def test_what_is_no_json_alone_or_beyond_the_bounds_is_no_json(text: str) -> None:
    answer = AnswerChecker(None).parse(text)
    assert (answer.is_json, answer.is_valid, answer.value) == (False, False, None)


def test_an_answer_says_whether_it_is_json_and_whether_it_fits() -> None:
    checker = AnswerChecker(RECORD)
    assert checker.parse(' {"name": "Ada", "age": 36}\n').is_valid
    wrong = checker.parse('{"name": "Ada", "age": true}')
    assert (wrong.is_json, wrong.is_valid, wrong.value) == (True, False, {"name": "Ada", "age": True})


def test_choices_within_choices_end_in_time() -> None:
    branch = {"type": "array", "items": {"$ref": "#/$defs/tree"}}
    bomb = {"$defs": {"tree": {"anyOf": [{**branch, "maxItems": 1}, branch, {"const": 0}]}}, "$ref": "#/$defs/tree"}
    began = time.process_time()
    assert not AnswerChecker(bomb).parse("[" * 60 + "1" + "]" * 60).is_valid
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"patternProperties": {}}, "'patternProperties', which is not supported"),
        (
            {"properties": {"a": {"pattern": "(?=a)b"}}},
            "'/properties/a' has the pattern '(?=a)b', which nothing can be",
        ),
        ({"pattern": "(a)\\1"}, "backreferences are not supported"),
        ({"pattern": "a" * 257}, "it has 257 characters, and 256 are followed"),
        ({"pattern": 1}, "it is no text"),
        ({"minimum": 10**400}, "'minimum' with the value <an integer of 1329 bits>"),
        ({"anyOf": [{"pattern": f"^{at}$"} for at in range(65)]}, "more than 64 different patterns: leave some out"),
        ({"properties": {"a": {"$ref": "https://example.org/x"}}}, "'/properties/a' refers to 'https://example.org/x'"),
        ({"$ref": "#/$defs/gone"}, "refers to"),
        ({"type": "text"}, "has the type 'text'"),
        ({"anyOf": []}, "'anyOf'"),
        ({"minLength": -1}, "'minLength' with the value -1"),
        ({"multipleOf": 0}, "'multipleOf'"),
        ({"items": ["string"]}, "'/items' is no object"),
        ({"required": "name"}, "'required'"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: dict[str, Any], part: str) -> None:
    assert part in check_schema(schema)
    with pytest.raises(ValueError, match="the schema"):
        AnswerChecker(schema)


def test_where_an_answer_does_not_fit_is_told_without_its_values() -> None:
    item = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    checker = AnswerChecker({"type": "object", "required": ["items"], "properties": {"items": {"items": item}}})
    for text, told in (
        ('{"items": [{"n": 1}]}', ""),
        ("secret", "it is no JSON"),
        ("[1]", "the whole is not what the schema asks for"),
        ('{"secret": 1}', "field 'items' is missing"),
        ('{"items": [{"n": 1}, {"n": "secret"}]}', "field 'items.1.n' is not what the schema asks for"),
        ('{"items": [{"secret": 1}]}', "field 'items.0.(another)' is not allowed"),
    ):
        assert checker.why_not(text) == told, text


@pytest.mark.parametrize(
    "pattern", ["^[A-Z]{2}-\\d+$", "ab", "^ab", "ab$", "^a|b$", "^a.b$", "^(a|b){1,3}$", "^$", "[^a]", "\\."]
)
def test_a_pattern_matches_what_it_matches_in_the_reference_library(pattern: str) -> None:
    texts = ("", "a", "b", "ab", "xaby", "abc", "xab", "axb", "a\nb", 'a"b', "AB-12", "AB-", "ä", "a.b", "abab", "\\")
    ours, theirs = AnswerChecker({"pattern": pattern}), jsonschema.Draft202012Validator({"pattern": pattern})
    assert [text for text in texts if ours.fits(text)] == [text for text in texts if theirs.is_valid(text)]
    assert ours.fits(1)  # says nothing of other kinds


def test_no_pattern_and_no_text_take_long() -> None:
    began = time.process_time()
    assert AnswerChecker({"pattern": "^(a+)+$"}).fits("a" * 10_000)
    for pattern in ("^(a+)+$", "^(a?){200}a{200}$", "^(.*a.{200})$", "(x{1,1000}y){1,1000}"):
        assert not AnswerChecker({"pattern": pattern}).fits("a" * 10_000 + "!\n")
    many = {"anyOf": [{"pattern": f"^(a+)+{number}$"} for number in range(50)]}
    assert "too large" in AnswerChecker(many).why_not(json.dumps("a" * 200_000))
    assert time.process_time() - began < 10


def test_a_pattern_that_many_places_share_counts_once() -> None:
    assert check_schema({"anyOf": [{"pattern": f"^{at % 64}$"} for at in range(1_000)]}) == ""


def test_no_enum_takes_long_whatever_is_held_to_it() -> None:
    names = [[f"name-{at}"] for at in range(40_000)]
    checker = AnswerChecker({"type": "array", "items": {"enum": names, "const": names[-1]}})
    began = time.process_time()
    assert checker.fits([names[-1]] * 2_000)
    assert not checker.fits([*[names[-1]] * 200, names[0]])
    assert not checker.fits([*[names[-1]] * 200, ["another"]])
    some = [names[:10_000]]  # one step to go through, as it holds one value
    assert AnswerChecker({"allOf": [{"enum": [some]}] * 10}).fits(some)
    assert "too large" in AnswerChecker({"allOf": [{"enum": [some]}] * 100}).why_not(json.dumps(some))
    assert time.process_time() - began < 10


def test_a_decimal_fraction_is_a_multiple_of_what_it_is_written_to_be_one_of() -> None:
    checker = AnswerChecker({"multipleOf": 0.1})  # 0.3 / 0.1 is no whole number in doubles, and is meant to be
    assert checker.parse("0.3").is_valid
    assert not checker.parse("0.35").is_valid
