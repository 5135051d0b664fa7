"""What does not fit into a message is one clear error at its sender; nobody waits or dies for it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from ropewalk.bus import dead_letters as wire
from ropewalk.bus.bulk import address_of
from ropewalk.bus.bus import Bus
from ropewalk.bus.errors import TooLargeError
from ropewalk.bus.wire import Wire, WireError
from ropewalk.client.dead_letters import DeadLetters
from ropewalk.delivery.delivery import Failures, deliver
from ropewalk.delivery.outcome import Done, Outcome
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointPruned
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import RunFailed, StageStarted, StageState
from ropewalk.projections.asking import ProjectorError, ask
from ropewalk.runtime.broker import SharedBroker

MEGABYTE = 1 << 20
PRUNED = CheckpointPruned(run_id="r", checkpoint_id="c", step=1, uri="u")


def said(size: int, run_id: str = "r") -> RunFailed:
    return RunFailed(run_id=run_id, stage="s", message="x" * size)


async def deliver_next(bus: Bus, subject: str, follows: Sequence[Message]) -> Any:
    """Let a handler that answers with `follows` settle the next message of a subject."""

    async def handle(_message: Message, _envelope: Envelope) -> Outcome:
        return Done(tuple(follows))

    subscription = await bus.connection.jetstream().pull_subscribe(PRUNED.subject, durable="reader", stream="CONTROL")
    (raw,) = await subscription.fetch(1, timeout=5)
    await deliver(raw, CheckpointPruned, handle, bus, "reader", Failures())
    return raw


@pytest.mark.parametrize("size", [MEGABYTE - 200, 2 * MEGABYTE])
async def test_a_message_beyond_the_limit_is_refused_at_once_by_name_and_size(bus, size) -> None:
    """The server counts headers, too, and closes the connection over one byte too many."""
    async with asyncio.timeout(5):
        with pytest.raises(TooLargeError, match=r"evt\.run\.failed\.v1\.r has .* bytes, and the bus takes 1,048,576"):
            await bus.publish(said(size))
        with pytest.raises(TooLargeError):
            await bus.publish_all([StageStarted(run_id="r", stage="s", epoch=1, attempt=1), said(size)], cause_id="c")
        state = StageState(
            run_id="r", stage="s", status="queued", epoch=0, attempt=1, operation_id="o", cause_id="c",
            cause_type="t", cause_body="x" * size,
        )  # fmt: skip
        with pytest.raises(TooLargeError):
            await bus.commit(state, 0, ())
        await bus.publish(said(MEGABYTE // 2))
    assert [item.message async for item in bus.read("evt.run.>")] == [said(MEGABYTE // 2)]
    assert bus.connection.stats["reconnects"] == 0
    assert bus.waiting.summary().num_sends == 0


async def test_a_message_from_which_something_too_large_follows_is_set_aside(bus) -> None:
    await bus.publish(PRUNED)
    await deliver_next(bus, PRUNED.subject, [said(2 * MEGABYTE)])
    (letter,) = await DeadLetters(bus).read()
    assert letter.body == PRUNED.model_dump_json().encode()
    assert "what follows from it cannot be said: a message on evt.run.failed.v1.r has 2,0" in letter.error


async def test_a_stranger_s_message_at_the_very_limit_is_set_aside_without_its_body_and_can_be_corrected(bus) -> None:
    letters = DeadLetters(bus)
    context = bus.connection.jetstream()
    body = json.dumps({"run_id": "r", "step": "one", "uri": "x" * (MEGABYTE - 100)}).encode()
    await context.publish(PRUNED.subject, body[:MEGABYTE])
    await deliver_next(bus, PRUNED.subject, [])
    (letter,) = await letters.read()
    assert (letter.body, letter.headers[wire.LEFT_OUT]) == (b"", str(len(body)))
    assert len(letter.error) < 1100
    with pytest.raises(Exception, match=r"would be rejected again: .*field .step. has the value .one."):
        await letters.retry(letter)
    await letters.retry(letter, PRUNED.model_dump_json().encode())
    assert await letters.read() == []


async def test_a_stranger_s_headers_make_no_letter_too_large(bus) -> None:
    headers = {"ropewalk.x": "no name for our client", "ce-epoch": "²"}
    headers |= {f"x-{number}": "y" * 4000 for number in range(15)} | {"ce-id": "z" * 4000}  # the server takes 64 kB
    await bus.connection.jetstream().publish(PRUNED.subject, b"{}", headers=headers)
    await deliver_next(bus, PRUNED.subject, [])
    (letter,) = await DeadLetters(bus).read()
    assert sum(len(name) + len(value) for name, value in letter.headers.items()) < 25_000


async def test_an_answer_and_a_question_that_do_not_fit_are_said_so_at_once(bus, nats_server) -> None:
    async def respond() -> bytes:
        return b"x" * 2 * MEGABYTE

    broker = SharedBroker(lambda: bus.connection)
    broker.subscriber("ctl.projection.v1.*")(respond)
    await broker.start()

    def ask_both() -> None:
        with Wire(address_of(nats_server.settings), 5.0) as connection:
            with pytest.raises(ProjectorError, match="the answer has 2,097,152 bytes"):
                ask(connection, "runs")
            with pytest.raises(WireError, match=r"a question of 2,0.* bytes is more than the bus"):
                ask(connection, "runs", status="x" * 2 * MEGABYTE)

    await asyncio.to_thread(ask_both)
    await broker.stop()
