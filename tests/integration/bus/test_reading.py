"""Reading a real stream: complete, though a mirror answers; without a gap, though the server is killed."""

import asyncio
import time

from ropewalk.bus.bus import Bus
from ropewalk.events.run import RunCancelled, StageInterrupted

MANY = 700  # more than two pages


def fact(number: int, run_id: str = "r") -> StageInterrupted:
    return StageInterrupted(run_id=run_id, stage=str(number), epoch=1, cause="c")


async def publish(bus: Bus, numbers: range, run_id: str = "r") -> None:
    for first in range(numbers.start, numbers.stop, 100):
        part = range(first, min(first + 100, numbers.stop))
        await bus.publish_all([fact(number, run_id) for number in part], cause_id=f"{run_id}-{first}")


async def test_read_gives_everything_in_order_and_nothing_of_another_run(bus) -> None:
    await publish(bus, range(MANY))
    await publish(bus, range(10), "other")
    items = [item async for item in bus.read("evt.*.*.*.r")]
    assert [int(item.message.stage) for item in items] == list(range(MANY))
    assert items[0].envelope.source == "/svc/test"
    assert [item async for item in bus.read("evt.*.*.*.nobody")] == []


async def test_reading_behind_a_sequence_gives_only_what_is_later(bus) -> None:
    await publish(bus, range(MANY))
    stored = [item async for item in bus.read("evt.*.*.*.r")]
    place = stored[300].sequence
    assert [item async for item in bus.read("evt.*.*.*.r", after=place)] == stored[301:]
    assert [item async for item in bus.read("evt.*.*.*.r", after=await bus.end())] == []
    newest = await bus.last_stored(StageInterrupted, "r")
    assert newest == stored[-1]


async def test_what_was_just_stored_is_read_although_the_mirror_is_behind(bus) -> None:
    for number in range(60):
        await bus.publish(fact(number))
        seen = [item async for item in bus.read("evt.*.*.*.r")]
        assert int(seen[-1].message.stage) == number


async def test_malformed_messages_are_left_out_and_counted_in_one_line(bus, caplog) -> None:
    await bus.publish(fact(0))
    for _ in range(3):
        await bus.connection.request("evt.run.stage_interrupted.v1.r", b"{", timeout=5)
    await bus.publish(fact(1))
    assert [item.message.stage async for item in bus.read("evt.run.stage_interrupted.v1.r")] == ["0", "1"]
    [line] = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "malformed: 3; `ropewalk dead list`" in line


async def test_reading_and_following_make_no_consumer(nats_server, bus) -> None:
    before = (await bus.connection.jetstream().stream_info("CONTROL")).state.consumer_count
    await publish(bus, range(5))
    async for item in bus.follow("evt.run.stage_interrupted.v1.*"):
        if item.message.stage == "4":
            break
    assert [item async for item in bus.read("evt.run.stage_interrupted.v1.*")] != []
    assert (await bus.connection.jetstream().stream_info("CONTROL")).state.consumer_count == before


async def test_a_follower_misses_nothing_when_the_server_is_killed_and_is_not_blind_afterwards(
    nats_server, bus
) -> None:
    seen: list[int] = []
    arrived = asyncio.Event()

    async def follow() -> None:
        async for item in bus.follow("evt.run.stage_interrupted.v1.*"):
            seen.append(int(item.message.stage))
            arrived.set()

    following = asyncio.create_task(follow())
    for number in range(6):
        if number in (2, 4):
            nats_server.stop()
            await asyncio.to_thread(nats_server.start)
        await bus.publish(fact(number))
        stored = time.monotonic()
        while number not in seen:
            arrived.clear()
            await asyncio.wait_for(arrived.wait(), 10)
        assert time.monotonic() - stored < 5
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert seen == list(range(6))


async def test_a_follower_from_now_gets_only_what_comes_and_gets_it_at_once(bus) -> None:
    await bus.publish(fact(0))
    followed = bus.follow("evt.run.stage_interrupted.v1.*", after=await bus.end())
    next_one = asyncio.create_task(anext(followed))
    await asyncio.sleep(0)
    while not next_one.done():
        await bus.publish(fact(1))
        await asyncio.wait([next_one], timeout=0.5)
    assert next_one.result().message.stage == "1"
    await followed.aclose()


async def test_what_comes_between_noting_the_end_and_following_is_not_missed(bus) -> None:
    await bus.publish(fact(0))
    end = await bus.end()
    await bus.publish(fact(1))
    followed = bus.follow("evt.run.stage_interrupted.v1.*", after=end)
    assert (await asyncio.wait_for(anext(followed), 5)).message.stage == "1"
    await followed.aclose()


async def test_a_malformed_message_does_not_hide_the_sound_one_before_it(bus) -> None:
    await bus.publish(RunCancelled(run_id="r", mode="now", reason="sound"))
    await bus.connection.request("evt.run.cancelled.v1.r", b"not even JSON", timeout=5)
    assert await bus.last(RunCancelled, "r") == RunCancelled(run_id="r", mode="now", reason="sound")
    await bus.connection.request("evt.run.cancelled.v1.other", b"not even JSON", timeout=5)
    assert await bus.last(RunCancelled, "other") is None
