"""Compile the .proto files, describe them, and name what breaks a reader or writer of the released contract.

`make contracts-baseline` runs this as a script: it writes the description to tests/golden/contract.json, which from
then on is what "released" means, and a golden sample for each message type that has none (or whose sample no longer
decodes). Do that when a change is an addition, or when you decided to break the contract.
"""

import importlib.resources
import json
import tempfile
from pathlib import Path
from typing import Any, get_args, get_origin

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from pydantic import ValidationError

from ropewalk.events.base import Message, Value
from ropewalk.events.registry import MESSAGE_TYPES

PROTO = Path(__file__).parent
GOLDEN = PROTO.parent / "tests" / "golden"
BASELINE = GOLDEN / "contract.json"
PACKAGE = "ropewalk.v1"

Contract = dict[str, dict[str, str]]
"""Message name -> field number (a string, as JSON wants it) -> `<type> <name>`, for example `repeated string paths`."""


def compile_protos() -> FileDescriptorSet:
    """Every file of the contract and what it imports, with comments."""
    includes = importlib.resources.files("grpc_tools") / "_proto"
    files = sorted(str(path) for path in PROTO.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "contract.binpb"
        options = [f"--proto_path={PROTO}", f"--proto_path={includes}", f"--descriptor_set_out={compiled}"]
        status = protoc.main(["protoc", *options, "--include_imports", "--include_source_info", *files])
        if status:
            raise ValueError(f"protoc refused the files below {PROTO}; its message is above")
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
        plain = arguments[1] in _SAMPLES
        return {"exact_duplicate": _SAMPLES[arguments[1]]} if plain else {"base": "python-stdlib", "trials": 4}
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return sample(annotation).model_dump(mode="json")
    if annotation in _SAMPLES:
        return _SAMPLES[annotation]
    if annotation is str:
        return _TEXTS.get(name) or next((text for end, text in _TEXTS.items() if name.endswith(f"_{end}")), name)
    return arguments[0]  # a Literal: its first word


def main() -> None:
    """Accept the present contract."""
    present = describe(compile_protos())
    released = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    for sentence in breaking_changes(released, present):
        print(f"accepting a break: {sentence}")
    BASELINE.write_text(json.dumps(present, indent=1) + "\n")
    for kind in MESSAGE_TYPES:
        path = golden_path(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            kind.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            path.write_text(sample(kind).model_dump_json(indent=1) + "\n")
            print(f"wrote {path.relative_to(PROTO.parent)}")


if __name__ == "__main__":
    main()
