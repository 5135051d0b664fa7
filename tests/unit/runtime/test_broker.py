"""Questions on `ctl.*`, in memory: typed bodies, and an answer to whoever asks, also where something is wrong."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from faststream.nats import NatsBroker, TestNatsBroker
from pydantic import BaseModel, Field

from ropewalk.bus.bus import Bus
from ropewalk.bus.client import GuardedClient
from ropewalk.bus.wire import Address
from ropewalk.runtime.broker import SharedBroker
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings, StorageSettings
from ropewalk.status.desk import StatusDesk


class Rows(BaseModel):
    limit: int = Field(default=3, ge=1)


@pytest.fixture
async def broker() -> AsyncIterator[NatsBroker]:
    """A few questions."""
    made = SharedBroker(lambda: None)  # type: ignore[arg-type, return-value]

    @made.subscriber("ctl.rows")
    async def rows(wanted: Rows) -> list[int]:
        return list(range(wanted.limit))

    @made.subscriber("ctl.raw")
    async def raw() -> bytes:
        return b"just bytes"

    @made.subscriber("ctl.broken")
    async def broken() -> Rows:
        return {}["missing"]  # type: ignore[index]

    async with TestNatsBroker(made) as in_memory:
        yield in_memory


async def ask(broker: NatsBroker, subject: str, body: bytes = b"") -> bytes:
    return (await broker.request(body, subject, timeout=10)).body


async def test_a_body_is_typed_and_no_body_is_an_empty_one(broker: NatsBroker) -> None:
    assert json.loads(await ask(broker, "ctl.rows", b'{"limit": 2}')) == [0, 1]
    assert json.loads(await ask(broker, "ctl.rows")) == [0, 1, 2]
    assert await ask(broker, "ctl.raw") == b"just bytes"


@pytest.mark.parametrize("body", [b'{"limit": 0}', b'{"limit": "many"}', b"[1]", b"[" * 20_000, b"\xff", b"9" * 5_000])
async def test_a_body_that_does_not_fit_is_answered_with_a_short_sentence(broker: NatsBroker, body: bytes) -> None:
    answer = await ask(broker, "ctl.rows", body)
    assert "has the value" in json.loads(answer)["error"]
    assert len(answer) < 1500


async def test_an_answer_that_is_too_large_for_a_message_says_so(broker: NatsBroker) -> None:
    answer = json.loads(await ask(broker, "ctl.rows", b'{"limit": 300000}'))
    assert answer["error"] == "the answer has 1,988,891 bytes: ask for less"


async def test_an_error_of_ours_is_answered_and_logged_and_harms_no_other_question(
    broker: NatsBroker, caplog: pytest.LogCaptureFixture
) -> None:
    assert "(KeyError)" in json.loads(await ask(broker, "ctl.broken"))["error"]
    assert "KeyError: 'missing'" in caplog.text
    assert await ask(broker, "ctl.raw") == b"just bytes"


async def test_a_ping_says_who_answers_and_why_it_is_not_ready(tmp_path: Path) -> None:
    settings = RuntimeSettings(state_dir=tmp_path, storage=StorageSettings(url=tmp_path.as_uri()))
    service = Service("ingest", settings)
    service.health.add(lambda: "it waits for a consumer")
    service._bus = Bus(GuardedClient("ingest"), "ingest")  # not connected
    async with TestNatsBroker(service.broker) as in_memory:
        said = json.loads(await ask(in_memory, "ctl.ping.ingest"))
    assert (said["service"], said["ready"], said["bound"]) == ("ingest", False, False)
    assert said["reasons"] == ["it waits for a consumer"]
    assert said["waiting"]["num_sends"] == 0


async def test_whoever_asks_for_the_status_within_a_second_gets_the_same_look() -> None:
    desk = StatusDesk(Address(url="nats://127.0.0.2:1"), ("ingest", "trainer"))  # nobody listens there
    broker = SharedBroker(lambda: None)  # type: ignore[arg-type, return-value]
    broker.subscriber("ctl.status")(desk.answer)
    async with TestNatsBroker(broker) as in_memory:
        first, second = [json.loads(await ask(in_memory, "ctl.status")) for _ in range(2)]
    assert first["seen"]["now"] == second["seen"]["now"]
    (problem,) = first["problems"]
    assert problem["kind"] == "broker_unknown"
    assert "the bus at nats://127.0.0.2:1 does not answer" in problem["what"]
