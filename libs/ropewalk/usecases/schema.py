"""Whether an answer is JSON and fits the schema of its task.

The part of JSON Schema (2020-12) that decides in bounded time and that constrained decoding knows too. A keyword that
is not known here would be ignored by the rules of JSON Schema, and every answer be called valid that is not: such a
schema is refused instead. `pattern` is: no regular expression of somebody else's is run.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from ropewalk.events.foreign import quoted
from ropewalk.usecases.fields import is_equal

MAX_ANSWER_CHARS = 262_144
MAX_ANSWER_DEPTH = 64
_MAX_STEPS = 100_000  # schemas looked at for one answer: `anyOf` within recursion grows with a power of the depth
_MAX_DIGITS = 300  # of a whole number, so that it can be computed with as a float too
_MAX_DEPTH = 64  # of a schema, and of references one behind the other

Schema = Mapping[str, Any] | bool
_ABOUT = ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated")
_NOTES = frozenset((*_ABOUT, "readOnly", "writeOnly", "format", "$defs", "definitions"))  # `format` by the standard too
_TYPES: Mapping[str, Callable[[JsonValue], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value == int(value),
}
_BOUNDS: Mapping[str, tuple[type | tuple[type, ...], Callable[[Any, Any], bool]]] = {
    "minimum": ((int, float), lambda value, bound: value >= bound),
    "maximum": ((int, float), lambda value, bound: value <= bound),
    "exclusiveMinimum": ((int, float), lambda value, bound: value > bound),
    "exclusiveMaximum": ((int, float), lambda value, bound: value < bound),
    "multipleOf": ((int, float), lambda value, bound: _is_multiple(value, bound)),
    "minLength": (str, lambda value, bound: len(value) >= bound),
    "maxLength": (str, lambda value, bound: len(value) <= bound),
    "minItems": (list, lambda value, bound: len(value) >= bound),
    "maxItems": (list, lambda value, bound: len(value) <= bound),
}
_SIZES = ("minLength", "maxLength", "minItems", "maxItems")
_PARTS = ("anyOf", "oneOf", "allOf", "prefixItems")  # lists of schemas
_WHOLE = ("items", "additionalProperties")  # one schema each
_KNOWN = _NOTES | _BOUNDS.keys() | {"type", "enum", "const", "required", "properties", "$ref", *_PARTS, *_WHOLE}


@dataclass(frozen=True)
class Checked:
    """What was made of a text: `value` is None unless it `is_json`."""

    value: JsonValue
    is_json: bool
    is_valid: bool


class _TooMuchError(Exception):
    """Deciding takes more steps than an answer may cost; never leaves this module."""


def check_schema(schema: Mapping[str, Any]) -> str:
    """Why a schema cannot be used, with the remedy; empty: it can."""
    waiting: list[tuple[str, Any, int]] = [("", schema, 0)]
    while waiting:
        place, each, depth = waiting.pop()
        fault = _fault(each, schema) if depth <= _MAX_DEPTH else "is nested too deeply: flatten it"
        if fault:
            return f"the schema{f' at {quoted(place)}' if place else ''} {fault}"
        waiting.extend((f"{place}/{name}", inner, depth + 1) for name, inner in _inner(each))
    return ""


class AnswerChecker:
    """Checks texts against a schema; without one any JSON is valid. Raises ValueError for one that cannot be used."""

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        if schema is not None and (fault := check_schema(schema)):
            raise ValueError(fault)
        self._schema: Schema = True if schema is None else schema
        self._steps = 0

    def parse(self, text: str) -> Checked:
        """Read an answer as it stands: with a fence or a sentence around it, it is no JSON."""
        try:
            value = _load(text)
        except (ValueError, RecursionError):
            return Checked(None, is_json=False, is_valid=False)
        return Checked(value, is_json=True, is_valid=self.fits(value))

    def fits(self, value: JsonValue) -> bool:
        """Whether a value fits; not, if that cannot be decided within bounds."""
        self._steps = 0
        try:
            return self._fits(value, self._schema, 0)
        except (_TooMuchError, RecursionError):
            return False

    def why_not(self, text: str) -> str:
        """Where an answer does not fit, in the words of the schema and none of the answer's; empty: it fits."""
        checked = self.parse(text)
        if checked.is_valid or not checked.is_json:
            return "" if checked.is_valid else "it is no JSON"
        self._steps = 0
        try:
            return self._misfit(checked.value, self._schema, "")
        except (_TooMuchError, RecursionError):
            return "it is too large to be checked"

    def _misfit(self, value: JsonValue, schema: Schema, place: str) -> str:
        """Of the first part that does not fit, as deep as properties and items lead to it."""
        here = f"field {quoted(place)}" if place else "the whole"
        if isinstance(schema, bool):
            return f"{here} is not allowed"
        if isinstance(value, dict) and (missing := sorted(set(schema.get("required", ())) - value.keys())):
            return f"field {quoted(f'{place}.{missing[0]}'.lstrip('.'))} is missing"
        if _is_right_kind(value, schema) and _is_within_bounds(value, schema):
            for name, each, wanted in _inside(value, schema):
                if not self._fits(each, wanted, 0):
                    return self._misfit(each, wanted, f"{place}.{name}".lstrip("."))
        return f"{here} is not what the schema asks for"

    def _fits(self, value: JsonValue, schema: Schema, hops: int) -> bool:
        """`hops` counts references and combinations that lead to this schema without going into the value."""
        self._steps += 1
        if self._steps > _MAX_STEPS or hops > _MAX_DEPTH:
            raise _TooMuchError
        if isinstance(schema, bool):
            return schema
        if not _is_right_kind(value, schema) or not _is_within_bounds(value, schema):
            return False
        return self._fits_combined(value, schema, hops + 1) and self._fits_inside(value, schema)

    def _fits_combined(self, value: JsonValue, schema: Mapping[str, Any], hops: int) -> bool:
        if "$ref" in schema and not self._fits(value, _resolve(schema["$ref"], self._schema), hops):
            return False
        if not all(self._fits(value, each, hops) for each in schema.get("allOf", ())):
            return False
        if "anyOf" in schema and not any(self._fits(value, each, hops) for each in schema["anyOf"]):
            return False
        return "oneOf" not in schema or sum(self._fits(value, each, hops) for each in schema["oneOf"]) == 1

    def _fits_inside(self, value: JsonValue, schema: Mapping[str, Any]) -> bool:
        return all(self._fits(each, wanted, 0) for _, each, wanted in _inside(value, schema))


def _inside(value: JsonValue, schema: Mapping[str, Any]) -> Iterator[tuple[str, JsonValue, Schema]]:
    """What a value holds with the schema for each; names that the schema does not know are not told."""
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        yield from (
            (name if name in known else "(another)", each, known.get(name, rest)) for name, each in value.items()
        )
    if isinstance(value, list):
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        schemas = [*first[: len(value)], *[rest] * (len(value) - len(first))]
        yield from ((str(at), each, wanted) for at, (each, wanted) in enumerate(zip(value, schemas, strict=True)))


def _is_right_kind(value: JsonValue, schema: Mapping[str, Any]) -> bool:
    types = schema.get("type", ())
    if types and not any(_TYPES[name](value) for name in ([types] if isinstance(types, str) else types)):
        return False
    if "const" in schema and not is_equal(value, schema["const"]):
        return False
    return "enum" not in schema or any(is_equal(value, each) for each in schema["enum"])


def _is_within_bounds(value: JsonValue, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, dict) and not value.keys() >= set(schema.get("required", ())):
        return False
    bounds = ((kind, holds, schema[name]) for name, (kind, holds) in _BOUNDS.items() if name in schema)
    return isinstance(value, bool) or all(
        not isinstance(value, kind) or holds(value, bound) for kind, holds, bound in bounds
    )


def _is_multiple(value: float, bound: float) -> bool:
    """As 0.3 is meant to be one of 0.1."""
    if isinstance(value, int) and isinstance(bound, int):
        return value % bound == 0
    ratio = value / bound
    return math.isfinite(ratio) and abs(ratio - round(ratio)) < 1e-9 * max(1.0, abs(ratio))


def _load(text: str) -> JsonValue:
    """Strict JSON. Raises ValueError, RecursionError."""
    if len(text) > MAX_ANSWER_CHARS:
        raise ValueError("the answer is too long")
    value: JsonValue = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded)
    level, depth = [value], 0
    while level := [inner for each in level for inner in _values(each)]:
        depth += 1
        if depth > MAX_ANSWER_DEPTH:
            raise ValueError("the answer is nested too deeply")
    return value


def _values(value: JsonValue) -> list[JsonValue]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _bounded(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else int(_refuse("a number of that many digits"))


def _finite(digits: str) -> float:
    return number if math.isfinite(number := float(digits)) else _refuse(digits)


def _inner(schema: Schema) -> Iterator[tuple[str, Any]]:
    """Every schema within one that has no fault, with the part of a JSON pointer that leads to it."""
    if isinstance(schema, bool):
        return
    for name in ("properties", "$defs", "definitions"):
        yield from ((f"{name}/{key}", each) for key, each in schema.get(name, {}).items())
    for name in _PARTS:
        yield from ((f"{name}/{place}", each) for place, each in enumerate(schema.get(name, ())))
    yield from ((name, schema[name]) for name in _WHOLE if name in schema)


def _fault(schema: Any, root: Mapping[str, Any]) -> str:
    """What is wrong with one schema, leaving out those within it."""
    if isinstance(schema, bool):
        return ""
    if not isinstance(schema, dict):
        return f'is no object but {quoted(schema)}: write a JSON Schema such as {{"type": "object"}}'
    if unknown := next((name for name in schema if name not in _KNOWN), None):
        return f"uses {quoted(unknown)}, which is not supported: take it out; known are {', '.join(sorted(_KNOWN))}"
    return _type_fault(schema) or _shape_fault(schema) or _ref_fault(schema, root)


def _type_fault(schema: Mapping[str, Any]) -> str:
    types = schema.get("type", [])
    names = [types] if isinstance(types, str) else types
    if not isinstance(names, list) or not all(isinstance(name, str) and name in _TYPES for name in names):
        return f"has the type {quoted(types)}: give one of {', '.join(_TYPES)}, or a list of them"
    return ""


def _shape_fault(schema: Mapping[str, Any]) -> str:
    for name in ("properties", "$defs", "definitions"):
        if not isinstance(schema.get(name, {}), dict):
            return f"has {name!r} that is no object: give a schema for each name"
    for name in (*_PARTS, "enum"):
        if name in schema and (not isinstance(schema[name], list) or not schema[name]):
            return f"has {name!r} that is no list with something in it"
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(each, str) for each in required):
        return "has 'required' that is no list of names"
    for name in _BOUNDS.keys() & schema.keys():
        bound = schema[name]
        is_number = isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)
        if (
            not is_number
            or (name in _SIZES and (bound < 0 or bound != int(bound)))
            or (name == "multipleOf" and bound <= 0)
        ):
            return f"has {name!r} with the value {quoted(bound)}: give a number that it can be"
    return ""


def _ref_fault(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "$ref" not in schema:
        return ""
    reference = schema["$ref"]
    try:
        found = _resolve(reference, root)
    except (KeyError, TypeError, AttributeError):
        return f"refers to {quoted(reference)}: only '#' and '#/$defs/NAME' of the same schema are read"
    return "" if isinstance(found, bool | dict) else f"refers to {quoted(reference)}, which is no schema"


def _resolve(reference: Any, root: Schema) -> Schema:
    """The schema that a reference names. Raises KeyError, TypeError or AttributeError if there is none."""
    if reference == "#":
        return root
    head, name = str(reference).rsplit("/", 1) if "/" in str(reference) else ("", "")
    if head not in ("#/$defs", "#/definitions"):
        raise KeyError(reference)
    found = cast(Mapping[str, Any], root)[head.removeprefix("#/")][name.replace("~1", "/").replace("~0", "~")]
    return cast(Schema, found)
