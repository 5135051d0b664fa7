"""Write the .proto files, describe them, and name what breaks a reader or writer of the released contract.

`make contracts-baseline` runs this as a script after an addition to the message types: it writes the .proto file of
each family, the description of them all to tests/golden/contract.json, and a golden sample for each message type that
has none. A field keeps the number it has in the description; a new one gets the next. It refuses what breaks the last
release, which is tests/golden/released.json; `python proto/contracts.py --release` makes the present contract that,
and belongs to a release. The rules are in docs/evolution.md.
"""

import importlib
import importlib.resources
import inspect
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from google.protobuf import descriptor_pool, message_factory, struct_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import Message as ProtoMessage
from grpc_tools import protoc
from pydantic import JsonValue
from pydantic.fields import FieldInfo

from ropewalk.events.asyncapi import address
from ropewalk.events.base import Message, Value
from ropewalk.events.registry import MESSAGE_TYPES

PROTO = Path(__file__).parent
GOLDEN = PROTO.parent / "tests" / "golden"
BASELINE = GOLDEN / "contract.json"
RELEASED = GOLDEN / "released.json"
PACKAGE = "ropewalk.v1"
ENVELOPE = "ropewalk/v1/envelope.proto"  # the one file that is written by hand: headers are no message
UNKNOWN = "unknown"
STRUCT = "google.protobuf.Struct"

Contract = dict[str, dict[str, str]]
"""Message name -> field number (a string, as JSON wants it) -> `<type> <name>`, for example `repeated string paths`."""

Words = dict[str, list[str]]
"""`<type>.<field>` -> the words that the field may hold, for fields that are an enumeration."""


def proto_files() -> dict[str, str]:
    """Path below this folder -> text, of every .proto file that is written from the message types."""
    numbers = [json.loads(path.read_text()) for path in (RELEASED, BASELINE)]
    known = _merged(numbers[0]["contract"], numbers[1])
    families: dict[str, list[type[Value]]] = {}
    for kind in sorted(_value_types(), key=_place):
        families.setdefault(kind.__module__, []).append(kind)
    return {_file_of(name): "\n".join(_family(name, kinds, known)) for name, kinds in families.items()}


def _file_of(module: str) -> str:
    return f"ropewalk/v1/{module.rpartition('.')[2]}.proto"


def _merged(*contracts: Contract) -> Contract:
    """Every number that was ever given, by message."""
    merged: Contract = {}
    for contract in contracts:
        for message, fields in contract.items():
            merged.setdefault(message, {}).update(fields)
    return merged


def _place(kind: type[Value]) -> tuple[str, int]:
    """Where a type is defined: within its family as it is read there."""
    return kind.__module__, inspect.getsourcelines(kind)[1]


def _family(module: str, kinds: list[type[Value]], known: Contract) -> Iterator[str]:
    bodies = [_message(kind, known.get(kind.__name__, {})) for kind in kinds]
    yield from _comment(inspect.cleandoc(importlib.import_module(module).__doc__ or ""))
    yield "//\n// Written by `make contracts-baseline` from the types of the family; edit those instead."
    yield '\nsyntax = "proto3";\n\npackage ropewalk.v1;\n'
    imports = ["google/protobuf/struct.proto"] if any(STRUCT in line for body in bodies for line in body) else []
    imports += sorted({_file_of(inner.__module__) for kind in kinds for inner in _values_in(kind)} - {_file_of(module)})
    if imports:
        yield "".join(f'import "{path}";\n' for path in imports)
    yield "\n\n".join("\n".join(body) for body in bodies) + "\n"


def _message(kind: type[Value], known: dict[str, str]) -> list[str]:
    """One message. Its fields stand in the order of their numbers."""
    taken = {described.rpartition(" ")[2]: int(number) for number, described in known.items()}
    lines = _comment(inspect.cleandoc(kind.__doc__ or ""))
    if issubclass(kind, Message):
        subject = re.sub(r"\{(\w+)\}", lambda token: f"<{token[1].replace('_', ' ')}>", address(kind))
        lines += ["//", f"// Subject: {subject}"]
    fields = {}
    for name, info in kind.model_fields.items():
        number = taken.setdefault(name, max(taken.values(), default=0) + 1)
        fields[number] = [
            *(f"  {line}" for line in _remarks(info)),
            f"  {_proto_type(info.annotation)} {name} = {number};",
        ]
    lines.append(f"message {kind.__name__} {{")
    return [*lines, *(line for number in sorted(fields) for line in fields[number]), "}"]


def _remarks(info: FieldInfo) -> list[str]:
    sentences = []
    if info.description:
        sentences.append(info.description[0].upper() + info.description[1:] + ".")
    if get_origin(info.annotation) is Literal:
        sentences.append(f"One of: {', '.join(get_args(info.annotation))}.")
    if not info.is_required() and isinstance(info.default, int | float | str) and info.default:
        sentences.append(f"Left out: {info.default}.")
    return _comment(" ".join(sentences)) if sentences else []


def _comment(text: str) -> list[str]:
    return [f"// {line}".rstrip() for paragraph in text.split("\n") for line in textwrap.wrap(paragraph, 117) or [""]]


def _proto_type(annotation: Any) -> str:
    """How a Python annotation is written in a .proto file."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "string"
    if origin is tuple:
        return f"repeated {_proto_type(arguments[0])}"
    if origin is dict:
        return STRUCT if arguments[1] is JsonValue else f"map<string, {_proto_type(arguments[1])}>"
    scalars = {str: "string", int: "int64", float: "double", bool: "bool"}
    return scalars.get(annotation) or str(annotation.__name__)


def compile_protos(root: Path = PROTO) -> FileDescriptorSet:
    """Every file of the contract and what it imports, with comments."""
    includes = importlib.resources.files("grpc_tools") / "_proto"
    files = sorted(str(path) for path in root.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "contract.binpb"
        options = [f"--proto_path={root}", f"--proto_path={includes}", f"--descriptor_set_out={compiled}"]
        status = protoc.main(["protoc", *options, "--include_imports", "--include_source_info", *files])
        if status:
            raise ValueError(f"protoc refused the files below {root}; its message is above")
        return FileDescriptorSet.FromString(compiled.read_bytes())


def describe(compiled: FileDescriptorSet) -> Contract:
    """The contract in a form that reads well in a diff."""
    own = [file for file in compiled.file if file.package == PACKAGE]
    return {
        message.name: {str(field.number): f"{_type_of(message, field)} {field.name}" for field in message.field}
        for file in own
        for message in file.message_type
    }


def breaking_changes(released: Contract, present: Contract) -> list[str]:
    """Every change that a reader or writer of `released` cannot live with, as sentences."""
    broken = []
    for message, fields in released.items():
        if message not in present:
            broken.append(f"message {message} is gone: keep it, or publish the change as a new major version")
            continue
        for number, field in fields.items():
            now = present[message].get(number)
            if now is None:
                broken.append(f"{message}: field {number} ({field}) is gone: keep it and stop reading it")
            elif now != field:
                broken.append(f"{message}: field {number} was `{field}` and is `{now}`: add a new field instead")
    return broken


def words() -> Words:
    """The words of every enumeration; .proto files call them strings."""
    return {
        f"{kind.__name__}.{name}": list(get_args(info.annotation))
        for kind in sorted(_value_types(), key=lambda kind: kind.__name__)
        for name, info in kind.model_fields.items()
        if get_origin(info.annotation) is Literal
    }


def broken_words(released: Words, present: Words) -> list[str]:
    """Every change of an enumeration that a reader or writer of `released` cannot live with, as sentences."""
    requests = {kind.__name__ for kind in MESSAGE_TYPES if kind.plane == "cmd"}
    broken = []
    for field, known in released.items():
        now = present.get(field, [])
        broken += [f"{field}: the word {word!r} is gone: old messages hold it" for word in known if word not in now]
        grows = UNKNOWN in known or field.partition(".")[0] in requests  # an old service must refuse a new request
        added = [word for word in now if word not in known and not grows]
        broken += [
            f"{field}: the word {word!r} is new, and a released reader rejects it: add a field" for word in added
        ]
    return broken


def build(contract: Contract) -> dict[str, type[ProtoMessage]]:
    """Message name -> protobuf class, made from a description: the reader that a release was."""
    file = FileDescriptorProto(name="contract.proto", package=PACKAGE, syntax="proto3")
    file.dependency.append(struct_pb2.DESCRIPTOR.name)
    for name, fields in contract.items():
        message = file.message_type.add(name=name)
        for number, described in fields.items():
            _add_field(message, int(number), described)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in contract}


def _add_field(message: DescriptorProto, number: int, described: str) -> None:
    type_name, _, name = described.rpartition(" ")
    repeated = type_name.startswith(("repeated ", "map<"))
    field = message.field.add(name=name, number=number, json_name=name)
    field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    if entry := re.fullmatch(r"map<(\w+), (.+)>", type_name):
        nested = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        nested.options.map_entry = True
        for place, (inner, inner_type) in enumerate(zip(("key", "value"), entry.groups(), strict=True), start=1):
            _add_field(nested, place, f"{inner_type} {inner}")
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{PACKAGE}.{message.name}.{nested.name}"
        return
    plain = type_name.removeprefix("repeated ")
    scalar = f"TYPE_{plain.upper()}"
    if scalar in FieldDescriptorProto.Type.keys():  # noqa: SIM118 (no mapping)
        field.type = FieldDescriptorProto.Type.Value(scalar)
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{plain}" if plain == STRUCT else f".{PACKAGE}.{plain}"


def _value_types() -> set[type[Value]]:
    """Every message type and every value inside one."""
    found: set[type[Value]] = set()
    waiting: list[type[Value]] = list(MESSAGE_TYPES)
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            found.add(kind)
            waiting += _values_in(kind)
    return found


def _values_in(kind: type[Value]) -> list[type[Value]]:
    """The values that its fields hold, one by one or in lists and maps."""
    inner = [each for info in kind.model_fields.values() for each in (info.annotation, *get_args(info.annotation))]
    return [each for each in inner if isinstance(each, type) and issubclass(each, Value)]


def sample(kind: type[Value]) -> Value:
    """A plausible value of a type, the same each time."""
    return kind.model_validate({name: _sample_of(name, info.annotation) for name, info in kind.model_fields.items()})


def golden_path(kind: type[Message]) -> Path:
    """Where the golden sample of a message type lies."""
    return GOLDEN / "events" / f"{kind.type_name().removeprefix('ropewalk.')}.json"


def _type_of(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    entries = {f".{PACKAGE}.{message.name}.{nested.name}": nested for nested in message.nested_type}
    if field.type_name in entries:
        key, value = entries[field.type_name].field
        return f"map<{_type_of(message, key)}, {_type_of(message, value)}>"
    plain = field.type_name.removeprefix(f".{PACKAGE}.").removeprefix(".")
    plain = plain or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    return f"repeated {plain}" if field.label == FieldDescriptorProto.LABEL_REPEATED else plain


_SAMPLES: dict[type, object] = {bool: True, int: 1234, float: 0.125}
_TEXTS = {
    "run_id": "tern-0412",
    "time": "2026-03-01T12:00:00.000Z",
    "uri": "exports/tern-0412-1-400",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "checkpoint_id": "tern-0412-1-400",
    "message": "the corpus has no documents: check the path and the patterns — café",
}


def _sample_of(name: str, annotation: Any) -> object:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return [_sample_of(name, arguments[0])]
    if origin is dict:
        value = arguments[1]
        typed = value in _SAMPLES or (isinstance(value, type) and issubclass(value, Value))
        return {"exact_duplicate": _sample_of(name, value)} if typed else {"base": "python-stdlib", "trials": 4}
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return sample(annotation).model_dump(mode="json")
    if annotation in _SAMPLES:
        return _SAMPLES[annotation]
    if annotation is str:
        return _TEXTS.get(name) or next((text for end, text in _TEXTS.items() if name.endswith(f"_{end}")), name)
    return arguments[0]  # a Literal: its first word


def main() -> None:
    """Accept the present contract if it only adds to the released one."""
    written = proto_files()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {ENVELOPE: (PROTO / ENVELOPE).read_text(), **written}.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        present = describe(compile_protos(Path(folder)))
    released = json.loads(RELEASED.read_text())
    broken = breaking_changes(released["contract"], present) + broken_words(released["words"], words())
    for sentence in broken:
        print(sentence)
    if broken:
        sys.exit("the last release could not live with this: see docs/evolution.md")
    for name, text in written.items():
        (PROTO / name).write_text(text)
    BASELINE.write_text(json.dumps(present, indent=1) + "\n")
    if sys.argv[1:] == ["--release"]:
        RELEASED.write_text(json.dumps({"contract": present, "words": words()}, indent=1) + "\n")
        print(f"wrote {RELEASED.relative_to(PROTO.parent)}")
    for kind in MESSAGE_TYPES:
        path = golden_path(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(sample(kind).model_dump_json(indent=1) + "\n")
            print(f"wrote {path.relative_to(PROTO.parent)}")


if __name__ == "__main__":
    main()
