"""The frozen Python types and the .proto files say the same, and what was released stays readable."""

import dataclasses
import json
import math
import struct
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message as ProtoMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from pydantic.fields import FieldInfo

from ropewalk.events.base import Value
from ropewalk.events.envelope import Envelope
from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.events.run import RunFailed, StageState
from ropewalk.events.serving import RouteTarget, TrafficShifted
from ropewalk.events.training import SearchCompleted, StepsCommitted

SCALARS = {str: "string", int: "int64", float: "double", bool: "bool"}
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# Struct holds numbers as doubles, so an integer in free-form JSON is exact up to 2^53.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def proto_type(annotation: Any) -> str:
    """How a Python annotation must be written in a .proto file."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "string"
    if origin is tuple:
        return f"repeated {proto_type(arguments[0])}"
    if origin is dict and arguments[1] is JsonValue:
        return "google.protobuf.Struct"
    if origin is dict:
        return f"map<string, {proto_type(arguments[1])}>"
    return SCALARS.get(annotation) or annotation.__name__


def values_inside(kind: type[Value]) -> set[type[Value]]:
    """A type and every nested value type."""
    found = {kind}
    for info in kind.model_fields.values():
        for inner in (info.annotation, *get_args(info.annotation)):
            if isinstance(inner, type) and issubclass(inner, Value):
                found |= values_inside(inner)
    return found


VALUE_TYPES = sorted(set().union(*map(values_inside, MESSAGE_TYPES)), key=lambda kind: kind.__name__)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value an annotation allows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3)
    if origin is dict:
        inner = JSON if arguments[1] is JsonValue else values_of(arguments[1])
        return st.dictionaries(TEXT, inner, max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return messages(annotation)
    return {str: TEXT, int: INT64, float: st.floats(), bool: st.booleans()}[annotation]


def values_of_field(info: FieldInfo) -> st.SearchStrategy[Any]:
    """Any value a field allows, its bounds included."""
    bounds = {
        name: getattr(rule, name)
        for rule in info.metadata
        for name in ("ge", "le", "max_length")
        if hasattr(rule, name)
    }
    if pattern := next((rule.pattern for rule in info.metadata if getattr(rule, "pattern", None)), ""):
        return st.from_regex(pattern, fullmatch=True)
    if not bounds or get_origin(info.annotation) is tuple:  # of which three are enough
        return values_of(info.annotation)
    if info.annotation is str:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=bounds["max_length"])
    numbers = st.integers if info.annotation is int else st.floats
    return numbers(
        min_value=bounds.get("ge"), max_value=bounds.get("le", 2**63 - 1 if numbers is st.integers else None)
    )


def messages(kind: type[Value]) -> st.SearchStrategy[Value]:
    """Any value of a message type, NaN, large integers, foreign letters and empty lists included."""
    fields = {name: values_of_field(info) for name, info in kind.model_fields.items()}
    drawn = st.fixed_dictionaries(fields)
    return (drawn.map(sensible) if kind is TrafficShifted else drawn).map(kind.model_validate)


def sensible(shift: dict[str, Any]) -> dict[str, Any]:
    """A shift that names each version once and the heaviest of them."""
    targets = {target.model_version: target for target in shift["targets"]}
    heaviest = max(targets.values(), key=lambda target: target.weight, default=RouteTarget(model_version=1))
    return shift | {"targets": list(targets.values()), "model_version": heaviest.model_version}


def through_protobuf(value: Value, proto: type[ProtoMessage]) -> Value:
    """Write with pydantic, read with protobuf, write with protobuf, read with pydantic."""
    parsed = json_format.Parse(value.model_dump_json(), proto(), ignore_unknown_fields=False)
    written = json_format.MessageToJson(
        parsed, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return type(value).model_validate_json(written)


def as_wire(value: Value) -> object:
    """The JSON value on the wire; unlike the model it equals itself when it holds a NaN."""
    return json.loads(value.model_dump_json())


def test_every_type_has_a_message_and_every_message_a_type(proto_classes: dict[str, type[ProtoMessage]]) -> None:
    assert set(proto_classes) == {kind.__name__ for kind in VALUE_TYPES} | {"Envelope"}


@pytest.mark.parametrize("kind", VALUE_TYPES, ids=lambda kind: kind.__name__)
def test_a_message_has_the_fields_of_its_type(
    kind: type[Value], contracts: ModuleType, compiled: FileDescriptorSet
) -> None:
    written = set(contracts.describe(compiled)[kind.__name__].values())
    wanted = {f"{proto_type(info.annotation)} {name}" for name, info in kind.model_fields.items()}
    assert written == wanted, f"message {kind.__name__} in proto/: add {wanted - written}, unknown {written - wanted}"


def test_the_proto_files_are_written_from_the_types(contracts: ModuleType) -> None:
    for name, text in contracts.proto_files().items():
        assert (contracts.PROTO / name).read_text() == text, f"proto/{name} is out of date: make contracts-baseline"


def test_a_field_keeps_its_number_and_a_new_one_gets_one_that_was_never_given(contracts: ModuleType) -> None:
    known = {"1": "string run_id", "7": "string message", "9": "string gone"}
    written = "\n".join(contracts._message(RunFailed, known))
    assert "string run_id = 1;" in written
    assert "string message = 7;" in written
    assert "string stage = 10;" in written


def test_the_envelope_has_the_fields_of_its_type(contracts: ModuleType, compiled: FileDescriptorSet) -> None:
    wanted = {f"{proto_type(field.type)} {field.name}" for field in dataclasses.fields(Envelope)}
    assert set(contracts.describe(compiled)["Envelope"].values()) == wanted


def test_the_comment_of_a_message_names_its_subject(compiled: FileDescriptorSet) -> None:
    comments = {
        file.message_type[place.path[1]].name: place.leading_comments
        for file in compiled.file
        for place in file.source_code_info.location
        if len(place.path) == 2 and place.path[0] == 4
    }
    for kind in MESSAGE_TYPES:
        prefix = "state.run.<stage>.v1" if kind is StageState else kind.subject_prefix()
        assert f"Subject: {prefix}.<{kind.about.replace('_', ' ')}>\n" in comments[kind.__name__]


@pytest.mark.parametrize("kind", VALUE_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(data=st.data())
def test_any_value_survives_protobuf(
    kind: type[Value], proto_classes: dict[str, type[ProtoMessage]], data: st.DataObject
) -> None:
    value = data.draw(messages(kind))
    assert as_wire(through_protobuf(value, proto_classes[kind.__name__])) == as_wire(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -0.0, 0.1 + 0.2])
def test_unusual_doubles_survive_protobuf(number: float, proto_classes: dict[str, type[ProtoMessage]]) -> None:
    value = SearchCompleted(run_id="r", num_trials=0, params={"": number}, loss=number)
    back = through_protobuf(value, proto_classes["SearchCompleted"])
    assert isinstance(back, SearchCompleted)
    for returned in (back.loss, back.params[""]):
        assert struct.pack("d", returned) == struct.pack("d", number)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**53 + 1, 0])
def test_integers_of_64_bits_survive_protobuf(number: int, proto_classes: dict[str, type[ProtoMessage]]) -> None:
    value = StepsCommitted(
        run_id="r",
        epoch=number,
        first_step=0,
        last_step=0,
        num_samples=0,
        sha256="",
        uri="日本語 🪢",
        checkpoint_id="\0",
    )
    assert through_protobuf(value, proto_classes["StepsCommitted"]) == value


def test_everything_present_is_in_the_baseline(contracts: ModuleType, compiled: FileDescriptorSet) -> None:
    released = json.loads(contracts.BASELINE.read_text())
    assert contracts.describe(compiled) == released, "after an addition to proto/: make contracts-baseline"


RELEASED = {"CheckpointSaved": {"1": "string run_id", "2": "int64 step", "3": "repeated string files"}}


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        ({}, "message CheckpointSaved is gone"),
        ({"1": "string run_id", "2": "int64 step"}, "field 3 (repeated string files) is gone"),
        ({"1": "string run_id", "2": "int64 steps", "3": "repeated string files"}, "is `int64 steps`"),
        ({"1": "string run_id", "2": "double step", "3": "repeated string files"}, "is `double step`"),
        ({"1": "string run_id", "4": "int64 step", "3": "repeated string files"}, "field 2 (int64 step) is gone"),
        ({"1": "string run_id", "2": "int64 step", "3": "string files"}, "is `string files`"),
    ],
    ids=["message removed", "field removed", "renamed", "retyped", "renumbered", "no longer repeated"],
)
def test_a_break_is_found(contracts: ModuleType, present: dict[str, str], sentence: str) -> None:
    (found,) = contracts.breaking_changes(RELEASED, {"CheckpointSaved": present} if present else {})
    assert sentence in found


def test_an_addition_is_no_break(contracts: ModuleType) -> None:
    wider = {"CheckpointSaved": {**RELEASED["CheckpointSaved"], "4": "double loss"}, "Other": {"1": "string run_id"}}
    assert contracts.breaking_changes(RELEASED, wider) == []
