"""A stream that has reached its limit makes senders wait, visibly, and loses nothing."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from ropewalk.bus.bus import Bus
from ropewalk.events.run import StageInterrupted, StageState
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.stages.leases import LeaseKeeper

CAUSE = "x" * 8000
DEADLINE_S = 20.0


@pytest.fixture
async def bus(nats_server) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats_server.settings, "test")
    yield bus
    await bus.close()


async def limit(bus: Bus, stream: str, max_bytes: int) -> None:
    context = bus.connection.jetstream()
    config = (await context.stream_info(stream)).config
    await context.update_stream(config.evolve(max_bytes=max_bytes))


def an_event(number: int) -> StageInterrupted:
    return StageInterrupted(run_id=f"r{number}", stage="train", epoch=number, cause=CAUSE)


def a_state() -> StageState:
    return StageState(
        run_id="r",
        stage="train",
        status="running",
        epoch=1,
        attempt=1,
        operation_id="o",
        cause_id="c",
        cause_type="t",
        cause_body="b" * 8000,
        traceparent="",
    )


async def test_sends_and_commits_wait_for_room_in_the_stream_and_then_complete(bus: Bus) -> None:
    await limit(bus, "CONTROL", 100_000)
    began = time.time()
    sends = [asyncio.create_task(bus.publish(an_event(number))) for number in range(20)]
    following = bus.prepare(an_event(99), cause_id="c")
    deadline = time.monotonic() + DEADLINE_S
    while sum(send.done() for send in sends) < 10 or not bus.waiting.summary().num_sends:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    commit = asyncio.create_task(bus.commit(a_state(), 0, [following]))
    while bus.waiting.summary().num_sends < 5:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)

    waiting = bus.waiting.summary()
    assert waiting.reason == "maximum bytes exceeded"
    assert waiting.subject.startswith("evt.run.stage_interrupted.v1.r")
    assert began <= waiting.since <= time.time()
    assert not commit.done()

    await limit(bus, "CONTROL", 10_000_000)
    await asyncio.wait_for(asyncio.gather(*sends, commit), DEADLINE_S)
    stored = [item.message.run_id async for item in bus.read("evt.run.stage_interrupted.v1.*")]
    assert sorted(stored) == sorted([*(f"r{number}" for number in range(20)), "r99"])
    assert bus.waiting.summary().num_sends == 0


async def test_a_holder_keeps_its_lease_when_the_broker_has_no_room_for_a_renewal(
    nats_server, bus: Bus, eventually
) -> None:
    keeper = LeaseKeeper(nats_server.settings, "holder", 2.0)
    await keeper.start()
    lost: list[bool] = []
    lease = await keeper.acquire("train", "r", lambda: lost.append(True))
    assert lease is not None
    await limit(bus, LEASE_STREAM, 1)

    async def may_not_speak() -> bool:
        return not lease.has_authority

    async def may_speak() -> bool:
        return lease.has_authority

    await eventually(may_not_speak, 20)
    await limit(bus, LEASE_STREAM, 1_000_000)
    await eventually(may_speak, 20)
    assert not lost
    await keeper.stop()
