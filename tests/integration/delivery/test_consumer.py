"""The standing pull on a real server: concurrency, slow handlers, kills, a missing consumer, stopping."""

import asyncio
import dataclasses
import time
from collections import Counter

import pytest
from nats.aio.msg import Msg

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.batches import batches
from ropewalk.bus.bus import Bus
from ropewalk.delivery import delivery
from ropewalk.delivery.consumer import Consumer
from ropewalk.delivery.delivery import MAX_TRIES, Failures, deliver
from ropewalk.delivery.outcome import Done, Outcome, Retry
from ropewalk.events.consumers import ConsumerSpec, handler
from ropewalk.events.envelope import Envelope
from ropewalk.events.run import RunFailed, StageStarted

SPEC = dataclasses.replace(handler("sample", "consumed", StageStarted), ack_wait_s=1.5)


@pytest.fixture
async def spec(nats_server) -> ConsumerSpec:
    await apply_topology(nats_server.settings, consumers=[SPEC])
    return SPEC


def over() -> asyncio.Event:
    """A grace that is over: what is not finished now is given back."""
    event = asyncio.Event()
    event.set()
    return event


async def publish(bus: Bus, *run_ids: str) -> None:
    for index, run_id in enumerate(run_ids):
        await bus.publish(StageStarted(run_id=run_id, stage=str(index), epoch=1))


class Handling:
    """Acknowledges everything; messages of runs named `slow…` only when let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.deliveries: Counter[int] = Counter()
        self.let_go = asyncio.Event()

    async def settle(self, raw: Msg) -> None:
        run_id = raw.subject.rpartition(".")[2]
        self.begun.append(run_id)
        self.deliveries[raw.metadata.sequence.stream] += 1
        if run_id.startswith("slow"):
            await self.let_go.wait()
        self.done.append(run_id)
        await raw.ack()

    async def until_done(self, number: int, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.done) < number:
                await asyncio.sleep(0.01)


async def test_a_slow_message_delays_no_other_and_its_run_stays_in_order(bus, spec) -> None:
    handling = Handling()
    consumer = Consumer(bus.connection, spec, handling.settle, workers=2)
    await consumer.bind()
    await publish(bus, "slow", "slow", *(f"quick-{number}" for number in range(20)))
    await handling.until_done(20)
    assert handling.begun.count("slow") == 1
    handling.let_go.set()
    await handling.until_done(22)
    assert handling.done[-2:] == ["slow", "slow"]
    await consumer.stop(over())


async def test_what_a_handler_works_on_is_not_delivered_again_while_it_is_within_its_budget(bus, spec) -> None:
    handling = Handling()
    consumer = Consumer(bus.connection, spec, handling.settle, workers=2)
    await consumer.bind()
    await publish(bus, "slow", "slow-too", "slow-and-waiting")
    started = time.monotonic()
    while time.monotonic() - started < 2 * spec.ack_wait_s:
        await asyncio.sleep(0.05)
    handling.let_go.set()
    await handling.until_done(3)
    await publish(bus, "last")
    await handling.until_done(4)
    assert set(handling.deliveries.values()) == {1}
    await consumer.stop(over())


async def test_after_a_killed_server_messages_come_at_once_and_none_is_missing(nats_server, bus, spec) -> None:
    handling = Handling()
    consumer = Consumer(bus.connection, spec, handling.settle)
    await consumer.bind()
    await publish(bus, "a")
    await handling.until_done(1)
    nats_server.stop()
    await asyncio.to_thread(nats_server.start)
    await publish(bus, "b")
    async with asyncio.timeout(5):
        while "b" not in handling.done:  # "a" may come again: its acknowledgement was not on the disk yet
            await asyncio.sleep(0.01)
    assert set(handling.done) == {"a", "b"}
    await consumer.stop(over())


async def test_a_service_waits_for_a_consumer_that_its_owner_makes_later_and_for_one_that_was_deleted(
    nats_server, bus
) -> None:
    handling = Handling()
    consumer = Consumer(bus.connection, SPEC, handling.settle)
    binding = asyncio.create_task(consumer.bind())
    await publish(bus, "a")
    await asyncio.wait([binding], timeout=0.3)
    assert not consumer.is_bound
    await apply_topology(nats_server.settings, consumers=[SPEC])
    await handling.until_done(1)
    await binding
    await bus.connection.jetstream().delete_consumer(SPEC.stream, SPEC.durable)
    await apply_topology(nats_server.settings, consumers=[SPEC])
    await handling.until_done(2)  # a new consumer begins at the start of the stream
    assert handling.done == ["a", "a"]
    await consumer.stop(over())


async def test_stopping_finishes_what_is_in_hands_and_gives_the_rest_to_another_replica_at_once(
    nats_server, bus, spec
) -> None:
    first, second = Handling(), Handling()
    consumer = Consumer(bus.connection, spec, first.settle, workers=1)
    await consumer.bind()
    await publish(bus, "quick", "slow-a", "b", "c")
    await first.until_done(1)
    stopping = asyncio.create_task(consumer.stop(over()))
    replica = Consumer(bus.connection, spec, second.settle)
    second.let_go.set()
    await replica.bind()
    await second.until_done(3, spec.ack_wait_s)
    await stopping
    assert sorted(second.done) == ["b", "c", "slow-a"]
    await replica.stop(over())


async def test_a_failing_handler_stops_nothing_and_its_message_comes_again(bus, spec) -> None:
    tries: list[str] = []

    async def settle(raw: Msg) -> None:
        tries.append(raw.subject)
        if len(tries) == 1:
            raise RuntimeError("the first time")
        await raw.ack()

    consumer = Consumer(bus.connection, spec, settle)
    await consumer.bind()
    await publish(bus, "a")
    async with asyncio.timeout(10):
        while len(tries) < 2:
            await asyncio.sleep(0.02)
    await consumer.stop(over())
    assert tries == [f"{StageStarted.subject_prefix()}.a"] * 2


async def test_batches_are_full_or_have_waited_and_what_is_not_acknowledged_comes_again(bus, spec) -> None:
    await publish(bus, *(f"r{number}" for number in range(7)))
    await bus.publish(RunFailed(run_id="other", stage="s", message="m"))
    taken = batches(bus.connection, spec, max_messages=5, max_wait_s=0.2)
    full = await anext(taken)
    rest = await anext(taken)
    assert [len(full.items), len(rest.items)] == [5, 2]
    await rest.ack()
    missing = {item.sequence for item in full.items}
    while missing:
        again = await anext(taken)
        missing -= {item.sequence for item in again.items}
        await again.ack()
    await taken.aclose()
    assert (await bus.connection.jetstream().consumer_info(spec.stream, spec.durable)).num_ack_pending == 0


async def test_only_failures_count_towards_giving_up_however_often_a_message_was_put_off(
    bus, spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_BACK_OFF_S", (0.01,))
    failures, calls = Failures(), Counter[str]()

    async def handle(event: StageStarted, _: Envelope) -> Outcome:
        calls[event.run_id] += 1
        if event.run_id == "put-off" and calls[event.run_id] <= 2 * MAX_TRIES:
            return Retry(0.01, "not yet")
        if event.run_id == "fails" or calls[event.run_id] == 2 * MAX_TRIES + 1:
            raise RuntimeError("broken")
        return Done()

    consumer = Consumer(
        bus.connection, spec, lambda raw: deliver(raw, StageStarted, handle, bus, spec.durable, failures)
    )
    await consumer.bind()
    await publish(bus, "put-off", "fails")
    async with asyncio.timeout(20):
        while calls["put-off"] < 2 * MAX_TRIES + 2 or calls["fails"] < MAX_TRIES:
            await asyncio.sleep(0.01)
    await consumer.stop(over())
    context = bus.connection.jetstream()
    assert (await context.stream_info("DLQ")).state.messages == 1
    letter = await context.get_msg("DLQ", seq=1)
    assert letter.headers["ropewalk-error"] == f"failed {MAX_TRIES} times, last with RuntimeError: broken"
    assert calls == {"put-off": 2 * MAX_TRIES + 2, "fails": MAX_TRIES}
