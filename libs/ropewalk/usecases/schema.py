"""Whether an answer is JSON and fits the schema of its task.

The part of JSON Schema (2020-12) that decides in bounded time and that constrained decoding knows too. A keyword that
is not known here would be ignored by the rules of JSON Schema, and every answer be called valid that is not: such a
schema is refused instead.
"""

import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from ropewalk.events.foreign import quoted
from ropewalk.usecases.fields import key_of
from ropewalk.usecases.patterns import has_form, pattern_fault

MAX_ANSWER_CHARS = 262_144
MAX_ANSWER_DEPTH = 64
_MAX_STEPS = 100_000  # schemas looked at for one answer: `anyOf` within recursion grows with a power of the depth
_MAX_PATTERNS = 64  # different ones in a schema: all of them are kept compiled
_CHARS_A_STEP = 16  # of a text that is held to a pattern
_LEAVES_A_STEP = 8  # of a value that is held to an enum
_COMPILE_STEPS = 500  # some milliseconds
_MAX_DIGITS = 300  # of a whole number, so that it can be computed with as a float too
_MAX_DEPTH = 64  # of a schema, and of references one behind the other

Schema = Mapping[str, Any] | bool
_Place = tuple[()] | tuple["_Place", str]
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
_WORDS = ("type", "enum", "const", "required", "properties", "$ref", "pattern")
_KNOWN = _NOTES | _BOUNDS.keys() | {*_WORDS, *_PARTS, *_WHOLE}


@dataclass(frozen=True)
class Checked:
    """What was made of a text: `value` is None unless it `is_json`.

    `misfit` says where it does not fit, in the words of the schema and none of the answer's.
    """

    value: JsonValue
    is_json: bool
    misfit: str

    @property
    def is_valid(self) -> bool:
        """Whether it fits."""
        return not self.misfit


@dataclass(frozen=True)
class _Misfit:
    """`place` is (what is around it, its own name); empty: the whole."""

    place: "_Place"
    what: str = "is not what the schema asks for"

    def __str__(self) -> str:
        names, place = list[str](), self.place
        while place:
            place, name = place
            names.append(name)
        field = quoted(".".join(reversed(names)))
        return f"field {field} {self.what}" if names else f"the whole {self.what}"


class _TooMuchError(Exception):
    """Deciding takes more steps than an answer may cost; never leaves this module."""


def check_schema(schema: Mapping[str, Any]) -> str:
    """Why a schema cannot be used, with the remedy; empty: it can."""
    waiting: list[tuple[str, Any, int]] = [("", schema, 0)]
    patterns = set[str]()
    while waiting:
        place, each, depth = waiting.pop()
        fault = _fault(each, schema) if depth <= _MAX_DEPTH else "is nested too deeply: flatten it"
        if fault:
            return f"the schema{f' at {quoted(place)}' if place else ''} {fault}"
        if isinstance(each, dict) and "pattern" in each:
            patterns.add(each["pattern"])
            if len(patterns) > _MAX_PATTERNS:
                return f"the schema has more than {_MAX_PATTERNS} different patterns: leave some out"
        waiting.extend((f"{place}/{name}", inner, depth + 1) for name, inner in _inner(each))
    return ""


class AnswerChecker:
    """Checks texts against a schema; without one any JSON is valid. Raises ValueError for one that cannot be used."""

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        if schema is not None and (fault := check_schema(schema)):
            raise ValueError(fault)
        self._schema: Schema = True if schema is None else schema
        self._steps = 0
        self._listed: dict[int, list[frozenset[Hashable]]] = {}  # by the identity of a part of the schema

    def parse(self, text: str) -> Checked:
        """Read an answer as it stands: with a fence or a sentence around it, it is no JSON."""
        try:
            value = _load(text)
        except (ValueError, RecursionError):
            return Checked(None, is_json=False, misfit="it is no JSON")
        return Checked(value, is_json=True, misfit=self._why_not(value))

    def fits(self, value: JsonValue) -> bool:
        """Whether a value fits; not, if that cannot be decided within bounds."""
        return not self._why_not(value)

    def why_not(self, text: str) -> str:
        """Where an answer does not fit; empty: it fits."""
        return self.parse(text).misfit

    def _why_not(self, value: JsonValue) -> str:
        self._steps = 0
        try:
            return str(self._misfit(value, self._schema, (), 0) or "")
        except (_TooMuchError, RecursionError):
            return "it is too large to be checked"

    def _misfit(self, value: JsonValue, schema: Schema, place: "_Place", hops: int) -> _Misfit | None:
        """The first part that does not fit.

        `hops` counts references and combinations that lead to this schema without going into the value.
        """
        self._count(1)
        if hops > _MAX_DEPTH:
            raise _TooMuchError
        if isinstance(schema, bool):
            return None if schema else _Misfit(place, "is not allowed")
        if isinstance(value, dict) and (missing := sorted(set(schema.get("required", ())) - value.keys())):
            return _Misfit((place, missing[0]), "is missing")
        if not (
            self._is_right_kind(value, schema) and _is_within_bounds(value, schema) and self._has_form(value, schema)
        ):
            return _Misfit(place)
        within = (self._misfit(each, inner, (place, name), 0) for name, each, inner in _inside(value, schema))
        return self._combined(value, schema, place, hops + 1) or next(filter(None, within), None)

    def _combined(self, value: JsonValue, schema: Mapping[str, Any], place: "_Place", hops: int) -> _Misfit | None:
        wholes = [_resolve(schema["$ref"], self._schema)] if "$ref" in schema else []
        for each in (*wholes, *schema.get("allOf", ())):
            if misfit := self._misfit(value, each, place, hops):
                return misfit
        fitting = (self._misfit(value, each, place, hops) is None for each in schema.get("anyOf", ()))
        if "anyOf" in schema and not any(fitting):
            return _Misfit(place)
        one = [self._misfit(value, each, place, hops) is None for each in schema.get("oneOf", ())]
        return _Misfit(place) if one and sum(one) != 1 else None

    def _has_form(self, value: JsonValue, schema: Mapping[str, Any]) -> bool:
        if "pattern" not in schema or not isinstance(value, str):
            return True
        self._count(len(value) // _CHARS_A_STEP)
        return has_form(value, schema["pattern"], lambda: self._count(_COMPILE_STEPS))

    def _is_right_kind(self, value: JsonValue, schema: Mapping[str, Any]) -> bool:
        types = schema.get("type", ())
        if types and not any(_TYPES[name](value) for name in ([types] if isinstance(types, str) else types)):
            return False
        if "const" not in schema and "enum" not in schema:
            return True
        key = key_of(value)
        self._count(len(key) // _LEAVES_A_STEP)
        return all(key in keys for keys in self._allowed(schema))

    def _allowed(self, schema: Mapping[str, Any]) -> list[frozenset[Hashable]]:
        """What a value has to be among. Worked out once: an enum may be long, and many values held to it."""
        if id(schema) not in self._listed:
            lists = [schema["enum"]] if "enum" in schema else []
            lists += [[schema["const"]]] if "const" in schema else []
            self._listed[id(schema)] = [frozenset(map(key_of, each)) for each in lists]
        return self._listed[id(schema)]

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise _TooMuchError


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


def _is_within_bounds(value: JsonValue, schema: Mapping[str, Any]) -> bool:
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
    value: JsonValue = json.loads(text, parse_constant=refuse_number, parse_float=finite, parse_int=_bounded)
    level, depth = [value], 0
    while level := [inner for each in level for inner in _values(each)]:
        depth += 1
        if depth > MAX_ANSWER_DEPTH:
            raise ValueError("the answer is nested too deeply")
    return value


def _values(value: JsonValue) -> list[JsonValue]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def refuse_number(name: str) -> float:
    """For what Python reads as a number and JSON does not have. Raises ValueError."""
    raise ValueError(f"{name} is no JSON")


def _bounded(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else int(refuse_number("a number of that many digits"))


def finite(digits: str) -> float:
    """Raises ValueError for one too large to be told from infinity."""
    return number if math.isfinite(number := float(digits)) else refuse_number(digits)


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
        is_number = _TYPES["number"](bound) and abs(bound) < 10**_MAX_DIGITS
        if (
            not is_number
            or (name in _SIZES and (bound < 0 or bound != int(bound)))
            or (name == "multipleOf" and bound <= 0)
        ):
            return f"has {name!r} with the value {quoted(bound)}: give a number that it can be"
    if "pattern" in schema and (fault := pattern_fault(schema["pattern"])):
        return (
            f"has the pattern {quoted(schema['pattern'])}, which nothing can be held to: {fault}; write it without "
            "look-around, back-references and word boundaries, list what is meant as an enum, or take it out"
        )
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
