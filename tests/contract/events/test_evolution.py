"""Old messages are read by new code and new messages by the last release; what breaks either is found."""

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, ClassVar

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from pydantic import ValidationError

from ropewalk.bus.bulk import UnparsedMessage, decoded_if
from ropewalk.bus.codec import decode, decode_any, in_present_form
from ropewalk.bus.errors import MalformedMessageError
from ropewalk.events.base import Event, Message
from ropewalk.events.registry import BY_TYPE_NAME, MESSAGE_TYPES
from ropewalk.events.run import CancelRun, RunCompleted, StageState
from ropewalk.events.training import TrialCompleted
from ropewalk.events.upcasters import UPCASTERS, Fields, Upcaster, older_types, present_form, with_older_forms


@pytest.fixture(scope="session")
def released(contracts: ModuleType) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(contracts.RELEASED.read_text())
    return content


def golden_samples(contracts: ModuleType) -> Iterator[tuple[str, Fields]]:
    """The type name and the JSON of every sample that was ever written."""
    for path in sorted((contracts.GOLDEN / "events").iterdir()):
        yield f"ropewalk.{path.stem}", json.loads(path.read_text())


def test_there_is_a_sample_of_every_type_and_every_old_form(contracts: ModuleType) -> None:
    assert {name for name, _ in golden_samples(contracts)} == BY_TYPE_NAME.keys() | UPCASTERS.keys()


def test_every_sample_ever_written_is_read_by_the_present_code(contracts: ModuleType) -> None:
    for name, fields in golden_samples(contracts):
        present, converted = present_form(name, fields)
        message = BY_TYPE_NAME[present].model_validate(converted)
        said = json.loads(message.model_dump_json())
        assert within(converted, said) == converted


def within(old: Any, new: Any) -> Any:
    """What `new` says about the fields that `old` has, at any depth: a packed row may have grown, too."""
    if isinstance(old, dict):
        return {name: within(old[name], new[name]) for name in old}
    if isinstance(old, list) and len(old) == len(new):
        return [within(*pair) for pair in zip(old, new, strict=True)]
    return new


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.type_name())
def test_a_new_message_is_read_by_the_last_release(
    kind: type[Message], contracts: ModuleType, released: dict[str, Any]
) -> None:
    reader = contracts.build(released["contract"]).get(kind.__name__)
    if reader is None:
        return  # younger than the release, which has no consumer for it
    written = json.loads(contracts.sample(kind).model_dump_json())
    read = json_format.ParseDict(written, reader(), ignore_unknown_fields=True)
    known = {name: value for name, value in written.items() if name in reader.DESCRIPTOR.fields_by_name}
    assert read == json_format.ParseDict(known, reader(), ignore_unknown_fields=True)
    assert len(known) == len(reader.DESCRIPTOR.fields)


def test_the_released_reader_ignores_a_field_of_tomorrow(contracts: ModuleType, released: dict[str, Any]) -> None:
    reader = contracts.build(released["contract"])["RunFailed"]
    written = {"run_id": "r", "stage": "train", "message": "no room", "a_field_of_tomorrow": {"deep": [1]}}
    assert json_format.ParseDict(written, reader(), ignore_unknown_fields=True).message == "no room"


def test_a_released_description_makes_the_contract_it_describes(contracts: ModuleType, compiled: Any) -> None:
    description = contracts.describe(compiled)
    made = next(iter(contracts.build(description).values()))
    rebuilt = FileDescriptorProto.FromString(made.DESCRIPTOR.file.serialized_pb)
    assert contracts.describe(FileDescriptorSet(file=[rebuilt])) == description


def test_nothing_released_is_broken(contracts: ModuleType, compiled: Any, released: dict[str, Any]) -> None:
    broken = contracts.breaking_changes(released["contract"], contracts.describe(compiled))
    assert broken + contracts.broken_words(released["words"], contracts.words()) == []


def rename(message: DescriptorProto) -> None:
    message.field[1].name = "version"


def retype(message: DescriptorProto) -> None:
    message.field[1].ClearField("type_name")
    message.field[1].type = FieldDescriptorProto.TYPE_INT64


def renumber(message: DescriptorProto) -> None:
    message.field[1].number = 99


def remove(message: DescriptorProto) -> None:
    del message.field[1]


def reuse(message: DescriptorProto) -> None:
    del message.field[1]
    message.field.add(
        name="something_else",
        number=2,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )


def repeat(message: DescriptorProto) -> None:
    message.field[1].label = FieldDescriptorProto.LABEL_REPEATED


@pytest.mark.parametrize("plant", [rename, retype, renumber, remove, reuse, repeat])
def test_a_break_planted_in_any_compiled_message_is_found(
    plant: Callable[[DescriptorProto], None], contracts: ModuleType, compiled: FileDescriptorSet
) -> None:
    whole = contracts.describe(compiled)
    for file_index, file in enumerate(compiled.file):
        for index, message in enumerate(file.message_type):
            if file.package != contracts.PACKAGE or len(message.field) < 2:
                continue
            if plant is repeat and message.field[1].label == FieldDescriptorProto.LABEL_REPEATED:
                continue
            if plant is retype and message.field[1].type == FieldDescriptorProto.TYPE_INT64:
                continue
            planted = FileDescriptorSet.FromString(compiled.SerializeToString())
            plant(planted.file[file_index].message_type[index])
            (found,) = contracts.breaking_changes(whole, contracts.describe(planted))
            assert found.startswith(f"{message.name}: field")


def test_a_removed_message_is_found(contracts: ModuleType, compiled: FileDescriptorSet) -> None:
    planted = FileDescriptorSet.FromString(compiled.SerializeToString())
    own = next(file for file in planted.file if file.package == contracts.PACKAGE)
    name = own.message_type[0].name
    del own.message_type[0]
    (found,) = contracts.breaking_changes(contracts.describe(compiled), contracts.describe(planted))
    assert found.startswith(f"message {name} is gone")


@pytest.mark.parametrize(
    ("field", "words", "sentence"),
    [
        ("StageState.status", ["running"], "the word 'done' is gone"),
        ("StageState.status", ["running", "done", "paused"], "the word 'paused' is new"),
        ("RunCompleted.outcome", ["unknown"], "the word 'promoted' is gone"),
    ],
)
def test_a_changed_word_is_found(contracts: ModuleType, field: str, words: list[str], sentence: str) -> None:
    released = {"StageState.status": ["running", "done"], "RunCompleted.outcome": ["promoted", "unknown"]}
    (found,) = contracts.broken_words(released, {**released, field: words})
    assert sentence in found


def test_a_word_may_be_added_to_an_enumeration_that_grows_and_to_a_request(contracts: ModuleType) -> None:
    released = {"RunCompleted.outcome": ["promoted", "unknown"], "CancelRun.mode": ["checkpoint", "now"]}
    wider = {
        "RunCompleted.outcome": ["promoted", "parked", "unknown"],
        "CancelRun.mode": ["checkpoint", "now", "later"],
    }
    assert contracts.broken_words(released, wider) == []


def test_a_word_of_tomorrow_is_unknown_where_that_is_safe_and_rejected_where_it_is_not() -> None:
    completed = decode(RunCompleted, "evt.run.completed.v1.r", b'{"run_id": "r", "outcome": "parked"}')
    assert completed == RunCompleted(run_id="r", outcome="unknown")
    with pytest.raises(MalformedMessageError, match="field 'mode' has the value 'later'"):
        decode(CancelRun, "cmd.run.cancel.v1.r", b'{"run_id": "r", "mode": "later"}')
    with pytest.raises(ValidationError):
        TrialCompleted.model_validate({"run_id": "r", "status": 7})
    assert "unknown" not in str(StageState.model_fields["status"].annotation)


class Moored(Event):
    """A type of this test, in its third major."""

    family: ClassVar[str] = "test"
    name: ClassVar[str] = "moored"
    major: ClassVar[int] = 3
    minutes: float
    berth: str


FIRST, SECOND = "ropewalk.evt.test.moored.v1", "ropewalk.evt.test.moored.v2"


@pytest.fixture
def moored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the type with an upcaster from each major to the next."""

    def in_minutes(fields: Fields) -> Fields:
        seconds = fields["seconds"]
        assert isinstance(seconds, int | float)
        return {"run_id": fields["run_id"], "minutes": seconds / 60}

    monkeypatch.setitem(BY_TYPE_NAME, Moored.type_name(), Moored)
    monkeypatch.setitem(UPCASTERS, FIRST, Upcaster(old=FIRST, new=SECOND, convert=in_minutes))
    monkeypatch.setitem(
        UPCASTERS,
        SECOND,
        Upcaster(old=SECOND, new=Moored.type_name(), convert=lambda fields: {**fields, "berth": "quay"}),
    )


@pytest.mark.usefixtures("moored")
def test_a_message_climbs_one_major_after_the_other() -> None:
    subject = "evt.test.moored.v1.r"
    body = b'{"run_id": "r", "seconds": 90}'
    wanted = Moored(run_id="r", minutes=1.5, berth="quay")
    assert decode(Moored, subject, body) == wanted
    assert decode_any(subject, {"ce-type": FIRST}, body) == wanted
    assert decode_any("evt.test.moored.v2.r", {}, b'{"run_id": "r", "minutes": 1.5}') == wanted
    assert in_present_form(subject, body)[0] == wanted.subject


@pytest.mark.usefixtures("moored")
def test_replay_reads_an_old_message_as_the_present_type() -> None:
    raw = UnparsedMessage(7, "2026-01-01T00:00:00Z", "evt.test.moored.v1.r", b"", b'{"run_id": "r", "seconds": 90}')
    stored = decoded_if(raw, {Moored})
    assert stored is not None
    assert stored.message == Moored(run_id="r", minutes=1.5, berth="quay")
    assert decoded_if(raw, {RunCompleted}) is None


@pytest.mark.usefixtures("moored")
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b'{"run_id": "r"}', r"does not fit ropewalk.evt.test.moored.v1 \(KeyError: 'seconds'\)"),
        (b'{"run_id": "other", "seconds": 1}', "run_id is 'other'"),
    ],
)
def test_an_old_body_that_was_never_valid_is_malformed(body: bytes, sentence: str) -> None:
    with pytest.raises(MalformedMessageError, match=sentence):
        decode(Moored, "evt.test.moored.v1.r", body)


@pytest.mark.usefixtures("moored")
def test_a_reader_of_a_type_asks_for_its_older_forms_too() -> None:
    assert older_types(Moored.type_name()) == (SECOND, FIRST)
    assert with_older_forms("evt.test.moored.v3.*") == (
        "evt.test.moored.v3.*",
        "evt.test.moored.v2.*",
        "evt.test.moored.v1.*",
    )
    assert with_older_forms("evt.>") == ("evt.>",)


def test_every_upcaster_leads_to_a_type_there_is_and_replaces_one_there_is_no_more() -> None:
    for name, step in UPCASTERS.items():
        assert step.old == name
        assert name not in BY_TYPE_NAME
        assert int(step.new.rpartition(".v")[2]) > int(name.rpartition(".v")[2])
        assert step.new in BY_TYPE_NAME or step.new in UPCASTERS
