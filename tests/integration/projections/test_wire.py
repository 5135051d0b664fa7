"""The blocking connection and the bulk reading against a real server."""

import pytest

from ropewalk.bus.bulk import UnparsedMessage, address_of, decoded_if, read_raw, stream_ends
from ropewalk.bus.errors import BusError
from ropewalk.bus.wire import Address, NoResponderError, Wire, WireError
from ropewalk.events.run import CancelRun, RunFailed, SubmitRun
from ropewalk.events.upcasters import UPCASTERS, Upcaster


def test_a_wrong_password_is_refused_at_once_with_the_servers_words(nats_server):
    address = address_of(nats_server.settings.model_copy(update={"password": "wrong"}))

    remedy = "Authorization Violation; set ROPEWALK_NATS_USER and ROPEWALK_NATS_NKEY_FILE as `ropewalk keys export`"
    with pytest.raises(WireError, match=remedy), Wire(address):
        pass


def test_nobody_at_the_address_is_a_sentence():
    with pytest.raises(WireError, match=r"the bus at nats://127\.0\.0\.1:1 does not answer"):
        Wire(Address(url="nats://127.0.0.1:1"))


def test_a_question_that_nobody_answers_fails_at_once(wire):
    with pytest.raises(NoResponderError, match=r"nobody answers on ctl\.nothing"):
        wire.request("ctl.nothing", b"{}")


def test_a_stream_that_is_missing_is_named_with_the_remedy(wire):
    with pytest.raises(BusError, match=r"stream NONE: stream not found; `ropewalk bus apply` creates it"):
        stream_ends(wire, "NONE")


def test_a_server_that_dies_in_between_is_an_error_and_no_hang(nats_server, wire):
    nats_server.stop()

    with pytest.raises(WireError):
        wire.request("$JS.API.INFO", b"")


def test_reading_begins_and_ends_where_it_should_and_survives_an_abandoned_page(append, wire):
    append(SubmitRun(run_id=f"r{number}", recipe={"name": "é\r\n"}) for number in range(1, 31))

    abandoned = read_raw(wire, "AUDIT", 1)
    next(abandoned)
    assert [raw.sequence for raw in read_raw(wire, "AUDIT", 10, last=12)] == [10, 11, 12]
    assert [raw.sequence for raw in read_raw(wire, "AUDIT", 28)] == [28, 29, 30]
    assert [raw.sequence for raw in read_raw(wire, "AUDIT", 5, limit=2)] == [5, 6]
    assert list(read_raw(wire, "AUDIT", 31)) == []


def test_only_the_wanted_types_are_decoded_with_their_envelope(append, wire):
    append([SubmitRun(run_id="r", recipe={"name": "é"}), CancelRun(run_id="r", reason="x")])
    [submit, cancel] = read_raw(wire, "AUDIT", 1)

    stored = decoded_if(submit, {SubmitRun, RunFailed})

    assert stored is not None
    assert stored.message == SubmitRun(run_id="r", recipe={"name": "é"})
    assert (stored.sequence, stored.envelope.source, stored.envelope.run_id) == (1, "/svc/test", "r")
    assert decoded_if(cancel, {SubmitRun, RunFailed}) is None
    assert decoded_if(submit._replace(body=b"{}"), {SubmitRun}) is None


def test_a_message_of_an_older_major_is_read_in_todays_form(monkeypatch):
    old = "ropewalk.cmd.run.submit.v0"
    step = Upcaster(old=old, new=SubmitRun.type_name(), convert=lambda fields: {**fields, "recipe": {"name": "old"}})
    monkeypatch.setitem(UPCASTERS, old, step)
    raw = UnparsedMessage(7, "2026-11-23T10:15:00.123456789Z", "cmd.run.submit.v0.r", b"NATS/1.0", b'{"run_id": "r"}')

    stored = decoded_if(raw, {SubmitRun})

    assert stored is not None
    assert stored.message == SubmitRun(run_id="r", recipe={"name": "old"})
