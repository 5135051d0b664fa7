"""A fold that goes on from where it was: what it reads, in which order, and that it never skips or doubles anything."""

import asyncio

from ropewalk.bus.codec import Stored
from ropewalk.bus.once import RunningFold
from ropewalk.events.base import Message
from ropewalk.events.run import RunCompleted, RunFailed


def a_failure(message: str) -> RunFailed:
    return RunFailed(run_id="r", stage="train", message=message)


def a_fold(*subjects: str) -> RunningFold[list[Message]]:
    def add(known: list[Message], item: Stored[Message]) -> None:
        known.append(item.message)

    return RunningFold([], add, *subjects)


async def test_a_second_look_reads_only_what_is_new(timeline) -> None:
    timeline.messages += [a_failure("one"), a_failure("two")]
    fold = a_fold("evt.run.failed.v1.*")
    assert await fold.now(timeline) == timeline.messages
    timeline.num_read = 0
    assert await fold.now(timeline) == timeline.messages
    assert timeline.num_read == 0
    timeline.messages.append(a_failure("three"))
    assert await fold.now(timeline) == timeline.messages
    assert timeline.num_read == 1


async def test_several_subjects_come_in_the_order_of_the_log(timeline) -> None:
    completed = RunCompleted(run_id="r", outcome="promoted")
    timeline.messages += [a_failure("one"), completed, a_failure("two")]
    assert await a_fold("evt.run.completed.v1.*", "evt.run.failed.v1.*").now(timeline) == timeline.messages


async def test_a_message_that_came_again_counts_once_however_much_later(timeline) -> None:
    timeline.messages.append(a_failure("one"))
    fold = a_fold("evt.run.failed.v1.*")
    await fold.now(timeline)
    timeline.messages += [a_failure("two"), a_failure("one")]
    timeline.ids[3] = "1"
    assert await fold.now(timeline) == timeline.messages[:2]


async def test_what_is_stored_while_one_subject_is_read_after_the_other_is_left_for_the_next_look(timeline) -> None:
    timeline.messages.append(a_failure("one"))
    late = [RunCompleted(run_id="r", outcome="promoted"), a_failure("two")]

    class Growing:
        """Stores two more messages behind the first subject: the second of them is on it."""

        async def end(self) -> int:
            return await timeline.end()

        async def read(self, subject_filter: str, *, after: int = 0):
            async for item in timeline.read(subject_filter, after=after):
                yield item
            timeline.messages += late
            late.clear()

    fold = a_fold("evt.run.failed.v1.*", "evt.run.completed.v1.*")
    assert await fold.now(Growing()) == timeline.messages[:1]
    assert await fold.now(timeline) == timeline.messages


async def test_two_looks_at_once_take_a_message_in_once(timeline) -> None:
    timeline.messages += [a_failure(str(number)) for number in range(20)]
    fold = a_fold("evt.run.failed.v1.*")
    first, second = await asyncio.gather(fold.now(timeline), fold.now(timeline))
    assert first is second
    assert first == timeline.messages
