"""A run begins once, however many requests for it arrive at the same moment, and never after it was rejected."""

import asyncio

import pytest

from ropewalk.bus.errors import ConflictError
from ropewalk.delivery.outcome import Done, Reject
from ropewalk.events.run import RunAccepted, RunEnding, RunRejected, SubmitRun
from ropewalk.ingest.handlers import submit_run
from ropewalk.ingest.settings import Settings


async def test_two_requests_at_once_accept_the_run_once(bus) -> None:
    request = SubmitRun(run_id="twice", recipe={"base": "python-stdlib-tiny"})
    outcomes = await asyncio.gather(*(submit_run(request, bus, Settings()) for _ in range(2)))
    assert all(isinstance(outcome, Done) and outcome.messages for outcome in outcomes)  # both saw no earlier one
    for cause_id, outcome in zip(("first", "second"), outcomes, strict=True):
        await bus.publish_all(outcome.messages, cause_id=cause_id)
    stored = [item async for item in bus.read(f"{RunAccepted.subject_prefix()}.twice")]
    assert [item.envelope.cause_id for item in stored] == ["first"]


async def test_of_two_recipes_at_once_the_second_is_told_that_the_run_has_another(bus) -> None:
    requests = [SubmitRun(run_id="r", recipe={"base": "python-stdlib-tiny", "seed": seed}) for seed in (1, 2)]
    first, second = [await submit_run(request, bus, Settings()) for request in requests]
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    await bus.publish_all(first.messages, cause_id="first")
    with pytest.raises(ConflictError):
        await bus.publish_all(second.messages, cause_id="second")
    assert isinstance(await submit_run(requests[1], bus, Settings()), Reject)
    assert await submit_run(requests[0], bus, Settings()) == Done()


@pytest.mark.parametrize("faults", [({}, {"epochs": 3}), ({"epochs": 3}, {})], ids=["accepted", "rejected"])
async def test_of_a_sound_and_an_unsound_request_at_once_only_the_first_counts(bus, faults) -> None:
    run_id = "sound-first" if not faults[0] else "unsound-first"
    requests = [SubmitRun(run_id=run_id, recipe={"base": "python-stdlib-tiny", **fault}) for fault in faults]
    decided = [await submit_run(request, bus, Settings()) for request in requests]
    assert all(isinstance(outcome, Done) and outcome.messages for outcome in decided)  # both saw nothing earlier
    await bus.publish_all(decided[0].messages, cause_id="first")
    with pytest.raises(ConflictError):
        await bus.publish_all(decided[1].messages, cause_id="second")
    await bus.publish_all(decided[0].messages, cause_id="first")  # a repetition is no error
    stored = [item.message async for item in bus.read(f"evt.run.*.v1.{run_id}")]
    assert [type(message) for message in stored] == [RunRejected if faults[0] else RunAccepted]
    assert (await bus.last(RunEnding, run_id) is None) == (not faults[0])
    assert isinstance(await submit_run(requests[1], bus, Settings()), Reject)
