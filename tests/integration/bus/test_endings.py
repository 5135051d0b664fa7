"""A run ends once, on a real server: whoever comes second, however often, in a race and after a lost answer."""

import asyncio
import uuid

import pytest

from ropewalk.bus.bus import Bus
from ropewalk.bus.errors import ConflictError
from ropewalk.events.base import Message
from ropewalk.events.run import (
    RunCancelled,
    RunCompleted,
    RunEnding,
    RunFailed,
    StageCompleted,
    StageState,
)

TERMINAL = (RunCompleted, RunFailed, RunCancelled)


def failed(run_id: str = "r") -> RunFailed:
    return RunFailed(run_id=run_id, stage="train", message="m")


def cancelled(run_id: str = "r") -> RunCancelled:
    return RunCancelled(run_id=run_id, mode="now")


def completed_stage(run_id: str = "r") -> StageCompleted:
    return StageCompleted(run_id=run_id, stage="train", epoch=1, seconds=1.0)


def state(status: str, run_id: str = "r") -> StageState:
    return StageState(
        run_id=run_id,
        stage="train",
        status=status,
        epoch=1,
        attempt=1,
        operation_id=uuid.uuid4().hex,
        cause_id="cause",
        cause_type="t",
        cause_body="{}",
    )


async def facts(bus: Bus, run_id: str = "r") -> list[Message]:
    return [item.message async for item in bus.read(f"evt.*.*.*.{run_id}")]


async def test_a_terminal_event_and_the_ending_of_its_run_are_stored_together(bus) -> None:
    await bus.publish(failed(), cause_id="c")
    ending = await bus.last(RunEnding, "r")
    stored = [item async for item in bus.read("evt.run.failed.v1.r")]
    assert ending is not None
    assert (ending.kind, ending.event_id) == ("failed", stored[0].envelope.id)


async def test_only_the_second_ending_is_left_out_and_the_rest_of_its_batch_is_stored(bus) -> None:
    await bus.publish_all([cancelled()], cause_id="c1")
    await bus.publish_all([completed_stage(), failed(), completed_stage("other")], cause_id="c2")
    assert [type(fact) for fact in await facts(bus)] == [RunCancelled, StageCompleted]
    assert await facts(bus, "other") == [completed_stage("other")]


async def test_the_same_cause_again_stores_nothing_twice(bus) -> None:
    for _ in range(3):
        await bus.publish_all([completed_stage(), failed()], cause_id="c1")
    for _ in range(3):
        await bus.publish_all([completed_stage(), cancelled()], cause_id="c2")
    assert [type(fact) for fact in await facts(bus)] == [StageCompleted, RunFailed, StageCompleted]


async def test_the_same_cause_again_is_idempotent_when_the_server_has_forgotten_the_ids(nats_server, bus) -> None:
    context = bus.connection.jetstream()
    config = (await context.stream_info("CONTROL")).config
    config.duplicate_window = 0.1
    await context.update_stream(config)
    await bus.publish_all([completed_stage(), failed()], cause_id="c")
    probe = {"Nats-Msg-Id": "probe"}
    await bus.connection.request("evt.probe", b"", timeout=5, headers=probe)
    while b"duplicate" in (await bus.connection.request("evt.probe", b"", timeout=5, headers=probe)).data:
        await asyncio.sleep(0.02)
    await bus.publish_all([completed_stage(), failed()], cause_id="c")
    assert [type(fact) for fact in await facts(bus)] == [StageCompleted, RunFailed]


async def test_of_two_commits_that_race_to_end_a_run_both_states_and_one_ending_are_stored(bus) -> None:
    for number in range(10):
        run_id = f"r{number}"
        first, second = state("done", run_id), state("failed", run_id).model_copy(update={"stage": "evaluate"})
        ends = (failed(run_id), RunCompleted(run_id=run_id, outcome="promoted"))
        await asyncio.gather(
            *(
                bus.commit(each, 0, [bus.prepare(end, cause_id=each.operation_id)])
                for each, end in zip((first, second), ends, strict=True)
            ),
            bus.publish(cancelled(run_id)),
        )
        terminal = [fact for fact in await facts(bus, run_id) if isinstance(fact, TERMINAL)]
        assert len(terminal) == 1
        for each in (first, second):
            assert (await bus.read_state(each.subject))[0] == each


async def test_a_commit_that_lost_its_state_ends_nothing(bus) -> None:
    revision = await bus.commit(state("running"), 0, [])
    await bus.commit(state("queued"), revision, [])
    with pytest.raises(ConflictError):
        await bus.commit(state("failed"), revision, [bus.prepare(failed(), cause_id="c")])
    assert await facts(bus) == []
    assert await bus.last(RunEnding, "r") is None


async def test_a_commit_after_the_end_returns_the_revision_of_its_state(bus) -> None:
    await bus.publish(cancelled())
    wanted = state("failed")
    revision = await bus.commit(wanted, 0, [bus.prepare(completed_stage()), bus.prepare(failed(), cause_id="c")])
    assert (await bus.read_state(wanted.subject)) == (wanted, revision)
    assert [type(fact) for fact in await facts(bus)] == [RunCancelled, StageCompleted]


async def test_an_ending_committed_twice_by_the_same_operation_is_stored_once(bus) -> None:
    wanted = state("failed")
    revisions = {await bus.commit(wanted, 0, [bus.prepare(failed(), cause_id="c")]) for _ in range(3)}
    assert len(revisions) == 1
    assert [type(fact) for fact in await facts(bus)] == [RunFailed]


async def test_of_two_endings_in_one_batch_the_first_is_stored(bus) -> None:
    await bus.publish_all([failed(), completed_stage(), cancelled()], cause_id="c")
    assert [type(message) for message in await facts(bus)] == [RunFailed, StageCompleted]
