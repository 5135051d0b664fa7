"""A run begins once, however many requests for it arrive at the same moment."""

import asyncio

from ropewalk.events.run import RunAccepted, SubmitRun
from ropewalk.ingest.handlers import submit_run
from ropewalk.runtime.outcome import Done


async def test_two_requests_at_once_accept_the_run_once(bus) -> None:
    request = SubmitRun(run_id="twice", recipe={"base": "python-stdlib-tiny"})
    outcomes = await asyncio.gather(*(submit_run(request, bus) for _ in range(2)))
    assert all(isinstance(outcome, Done) and outcome.messages for outcome in outcomes)  # both saw no earlier one
    for cause_id, outcome in zip(("first", "second"), outcomes, strict=True):
        await bus.publish_all(outcome.messages, cause_id=cause_id)
    stored = [item async for item in bus.read(f"{RunAccepted.subject_prefix()}.twice")]
    assert [item.envelope.cause_id for item in stored] == ["first"]
