"""One message, whoever reads it: every way of reading a stream gives the same."""

from dataclasses import replace
from datetime import timedelta

from ropewalk.bus.bulk import address_of, read_raw
from ropewalk.bus.codec import RawMessage, decoded
from ropewalk.bus.reading import delivered
from ropewalk.bus.wire import Wire
from ropewalk.events.run import SubmitRun


async def every_reading(bus, nats_server, subject: str) -> dict[str, RawMessage]:
    connection = bus.connection
    subscription = await connection.jetstream().subscribe(subject, stream="CONTROL", ordered_consumer=True)
    consumed = delivered(await subscription.next_msg(timeout=5))
    await subscription.unsubscribe()
    [from_page] = [raw async for raw in bus.raw(subject)]
    from_leader = await bus.newest(subject)
    with Wire(address_of(nats_server.settings)) as wire:
        [in_bulk] = [raw.parsed() for raw in read_raw(wire, "CONTROL", 1) if raw.subject == subject]
    return {"page": from_page, "leader": from_leader, "bulk": in_bulk, "consumer": consumed}


async def test_every_reader_gives_the_same_message(bus, nats_server) -> None:
    message = SubmitRun(run_id="r", recipe={"name": "é\r\n"})
    await bus.publish(message, cause_id="because")
    readings = await every_reading(bus, nats_server, message.subject)
    first = readings["leader"]
    assert first.headers["ce-causationid"] == "because"
    for name, raw in readings.items():
        assert abs(raw.time - first.time) < timedelta(milliseconds=1), name
        assert replace(raw, time=first.time) == first, name
        assert decoded(raw).message == message
        assert decoded(raw).envelope == first.envelope()


async def test_an_envelope_without_headers_is_completed_from_where_the_message_lies(bus, nats_server) -> None:
    message = SubmitRun(run_id="r", recipe={})
    await bus.connection.request(message.subject, message.model_dump_json().encode())
    readings = await every_reading(bus, nats_server, message.subject)
    envelopes = [raw.envelope() for raw in readings.values()]
    assert len({envelope.id for envelope in envelopes}) == 1
    assert {envelope.time for envelope in envelopes} == {raw.time.isoformat() for raw in readings.values()}
