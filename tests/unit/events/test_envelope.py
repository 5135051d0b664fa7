import math

import pytest
from pydantic import ValidationError

from ropewalk.bus.codec import decode, decode_any
from ropewalk.bus.errors import MalformedMessageError
from ropewalk.events.base import RUN_ID_PATTERN, Message
from ropewalk.events.envelope import Envelope, derived_id
from ropewalk.events.registry import BY_TYPE_NAME, MESSAGE_TYPES, UnknownMessageError, message_type, type_of_subject
from ropewalk.events.run import RunFailed, StageCapacity, StageState
from ropewalk.events.streams import STREAMS, stream_of
from ropewalk.events.training import SearchCompleted


def test_headers_carry_the_whole_envelope() -> None:
    envelope = Envelope(
        id="i",
        type="t",
        source="/svc/x",
        time="2026-01-01T00:00:00Z",
        run_id="r",
        cause_id="c",
        epoch=7,
        traceparent="p",
    )
    assert Envelope.from_headers(envelope.headers(), subject="evt.a.b.v1.r", stored=lambda: (1, "")) == envelope
    assert envelope.headers()["Nats-Msg-Id"] == "i"


def test_a_message_about_something_else_says_so_and_has_no_run() -> None:
    capacity = StageCapacity(stage="train", pools={"laptop": 2}, operation_id="o")
    assert (capacity.subject, capacity.entity, capacity.run_id) == ("state.run.capacity.v2.train", "train", "")
    envelope = Envelope(id="i", type="t", source="/svc/x", time="t", run_id="", about="stage/train")
    headers = envelope.headers()
    assert headers["ce-subject"] == "stage/train"
    assert "ce-correlationid" not in headers
    assert Envelope.from_headers(headers, subject=capacity.subject, stored=lambda: (1, "")) == envelope


def test_a_message_may_be_about_something_else_and_follow_from_a_run() -> None:
    capacity = StageCapacity(run_id="tern-1", stage="train", pools={}, operation_id="o")
    assert decode(StageCapacity, capacity.subject, capacity.model_dump_json().encode()) == capacity
    for wrong in ({"run_id": "No Run"}, {"stage": ""}, {"stage": "a.b"}):
        with pytest.raises(ValidationError):
            StageCapacity(**{"stage": "train", "pools": {}, "operation_id": "o", **wrong})
    with pytest.raises(MalformedMessageError, match=r"stage is 'train', but the message came on"):
        decode(StageCapacity, "state.run.capacity.v2.other", capacity.model_dump_json().encode())


def test_what_was_stored_when_every_message_had_a_run_id_is_read_as_being_about_its_stage() -> None:
    stored = b'{"run_id": "train", "pools": {"laptop": 2.0}, "operation_id": "o"}'
    read = decode(StageCapacity, "state.run.capacity.v1.train", stored)
    assert read == StageCapacity(stage="train", pools={"laptop": 2}, operation_id="o")


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.__name__)
def test_what_a_message_is_about_is_a_field_that_fits_a_subject(kind: type[Message]) -> None:
    field = kind.model_fields[kind.about]
    assert field.is_required()
    assert any(getattr(rule, "pattern", "") == RUN_ID_PATTERN for rule in field.metadata)


def test_a_message_without_headers_gets_an_id_from_where_it_lies() -> None:
    first = Envelope.from_headers({}, subject="cmd.run.submit.v1.r", stored=lambda: (5, "t"))
    again = Envelope.from_headers({}, subject="cmd.run.submit.v1.r", stored=lambda: (5, "t"))
    other = Envelope.from_headers({}, subject="cmd.run.submit.v1.r", stored=lambda: (6, "t"))
    assert first == again
    assert first.id != other.id
    assert (first.run_id, first.type) == ("r", "ropewalk.cmd.run.submit.v1")


@pytest.mark.parametrize("epoch", ["seven", "²", "٣", "9" * 5000, "-1", "1e3", " 1", ""])
def test_nonsense_in_headers_never_fails(epoch: str) -> None:
    assert Envelope.from_headers({"ce-epoch": epoch}, subject="evt.a.b.v1.r", stored=lambda: (1, "t")).epoch == 0


def test_what_a_sender_says_in_headers_is_short_before_it_goes_on_and_a_long_id_stays_one_of_its_own() -> None:
    def read(word: str) -> Envelope:
        names = ("ce-id", "ce-type", "ce-source", "ce-time", "ce-correlationid", "ce-causationid", "traceparent")
        return Envelope.from_headers(dict.fromkeys(names, word), subject="evt.a.b.v1.r", stored=lambda: (1, "t"))

    envelope = read("x" * 60_000)
    assert max(len(value) for value in envelope.headers().values()) < 300
    assert envelope == read("x" * 60_000)
    assert envelope.id != read("x" * 60_001).id


def test_a_derived_id_depends_on_cause_type_and_key_alone() -> None:
    ids = {derived_id(cause, kind, key) for cause in "ab" for kind in "ab" for key in "ab"}
    assert len(ids) == 8
    assert derived_id("a", "a", "a") in ids


def test_every_type_has_its_own_subject_on_a_known_stream() -> None:
    assert len({kind.subject_prefix() for kind in MESSAGE_TYPES}) == len(MESSAGE_TYPES)
    names = {stream.name for stream in STREAMS}
    assert {stream_of(kind.subject_prefix()) for kind in MESSAGE_TYPES} <= names
    assert all(type_of_subject(f"{kind.subject_prefix()}.r") is kind for kind in BY_TYPE_NAME.values())


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownMessageError, match=r"ropewalk\.evt\.no\.such\.v1"):
        message_type("ropewalk.evt.no.such.v1")


def test_messages_are_frozen_and_ignore_what_they_do_not_know() -> None:
    event = RunFailed.model_validate_json('{"run_id":"r","stage":"s","message":"m","new_field":1}')
    with pytest.raises(ValidationError):
        event.message = "other"


def test_not_a_number_survives_the_wire() -> None:
    event = SearchCompleted(run_id="r", num_trials=1, params={"lr": math.inf}, loss=math.nan)
    again = SearchCompleted.model_validate_json(event.model_dump_json())
    assert math.isnan(again.loss)
    assert again.params == {"lr": math.inf}


def test_a_stage_state_lies_under_its_stage() -> None:
    state = StageState(
        run_id="r", stage="train", status="running", epoch=1, attempt=1, operation_id="o", cause_id="c", cause_type="t",
        cause_body="{}",
    )  # fmt: skip
    assert state.subject == "state.run.train.v1.r"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"not json", "the body is not JSON"),
        (b'{"run_id":"r","stage":"s"}', "field 'message' is missing"),
        (b'{"run_id":"Upper","stage":"s","message":"m"}', "field 'run_id' has the value 'Upper'"),
        (b'{"run_id":"other","stage":"s","message":"m"}', "publish it on 'evt.run.failed.v1.other'"),
    ],
)
def test_a_malformed_body_is_refused_with_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(MalformedMessageError, match=None) as caught:
        decode(RunFailed, "evt.run.failed.v1.r", body)
    assert sentence in str(caught.value)


def test_a_message_of_unknown_type_is_malformed() -> None:
    with pytest.raises(MalformedMessageError, match="unknown message type"):
        decode_any("evt.no.such.v1.r", {}, b"{}")
