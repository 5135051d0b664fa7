"""Endings of a stage that nobody would say again: a cancellation during the look, a result that is too large."""

from pathlib import Path
from typing import Any

import pytest

from ropewalk.bus.errors import TooLargeError
from ropewalk.events.base import Message
from ropewalk.events.run import RunAccepted, RunFailed, StageInterrupted, StageState
from ropewalk.recipes.builtin import python_stdlib
from ropewalk.stages.context import StageContext, StageSpec
from ropewalk.stages.errors import StageError, WorkRaisedError
from ropewalk.stages.leases import Lease
from ropewalk.stages.work import StageWork


class LookedUpInVain:
    """A bus that finds no cancellation, because it comes during the look."""

    work: StageWork

    async def last(self, kind: type[Message], run_id: str) -> None:
        await self.work.cancel("now")


class Written:
    """Keeps the states in which stages ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def end(self, state: StageState, revision: int, messages: Any) -> None:
        self.ends.append(state.status)


def a_work(work: Any, bus: Any, committer: Any, folder: Path) -> StageWork:
    trigger = RunAccepted(run_id="r", recipe={}, recipe_sha256="0")
    state = StageState(
        run_id="r", stage="s", status="running", epoch=1, attempt=1, operation_id="o", cause_id="c",
        cause_type=trigger.type_name(), cause_body=trigger.model_dump_json(),
    )  # fmt: skip
    context = StageContext(
        stage="s", run_id="r", epoch=1, attempt=1, cause_id="c", recipe=python_stdlib(),
        bus=bus, objects=None, scratch=folder,
    )  # fmt: skip
    return StageWork(
        spec=StageSpec(name="s", trigger=RunAccepted, work=work),
        committer=committer,
        state=state,
        revision=1,
        lease=Lease(subject="s", epoch=1, revision=1, ttl_s=10, on_lost=lambda: None),
        context=context,
    )


async def test_a_cancellation_during_the_look_ends_the_stage_before_the_work_begins(tmp_path: Path) -> None:
    begun: list[str] = []

    async def work(ctx: StageContext, accepted: RunAccepted) -> tuple[Message, ...]:
        begun.append(ctx.run_id)
        return ()

    bus, written = LookedUpInVain(), Written()
    bus.work = a_work(work, bus, written, tmp_path)
    await bus.work.run()
    assert written.ends == ["cancelled"]
    assert begun == []


class NotCancelled:
    """A bus on which nobody cancels anything."""

    async def last(self, kind: type[Message], run_id: str) -> None:
        return None

    async def last_stored(self, kind: type[Message], run_id: str) -> None:
        return None


class TakesNoMore:
    """Refuses what is too large as a bus does."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, Any]] = []

    async def end(self, state: StageState, revision: int, messages: Any) -> None:
        if any(len(message.model_dump_json()) > 10_000 for message in messages):
            raise TooLargeError("a message on evt.run.failed.v1.r has 20,000 bytes, and the bus takes 10,000")
        self.ends.append((state.status, messages))


@pytest.mark.parametrize("raised", [False, True])
async def test_a_result_that_no_message_holds_fails_the_run_once_with_a_short_reason(
    tmp_path: Path, raised: bool
) -> None:
    attempts: list[int] = []

    async def work(ctx: StageContext, accepted: RunAccepted) -> tuple[Message, ...]:
        attempts.append(ctx.attempt)
        if raised:
            raise StageError("x" * 20_000)
        return (RunAccepted(run_id="r", recipe={"name": "x" * 20_000}, recipe_sha256="0"),)

    committer = TakesNoMore()
    await a_work(work, NotCancelled(), committer, tmp_path).run()
    ((status, (failed,)),) = committer.ends
    assert (attempts, status) == ([1], "failed")
    assert isinstance(failed, RunFailed)
    assert ("x… (20,000 characters)" if raised else "20,000 bytes, and the bus takes 10,000") in failed.message


class GoesOn(TakesNoMore):
    """Also keeps the attempts that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Any] = []

    async def commit(self, state: StageState, revision: int, facts: Any, changes: Any) -> int:
        self.facts += facts
        return revision + 1


async def test_an_error_that_the_work_raises_is_repeated_once_and_told_in_one_line(tmp_path: Path) -> None:
    attempts: list[int] = []

    async def work(ctx: StageContext, accepted: RunAccepted) -> tuple[Message, ...]:
        attempts.append(ctx.attempt)
        raise WorkRaisedError("KeyError: 'x' (records.py:7, read)")

    committer = GoesOn()
    await a_work(work, NotCancelled(), committer, tmp_path).run()
    ((status, (failed,)),) = committer.ends
    assert (attempts, status) == ([1, 2], "failed")
    assert failed.message == "it raised an error 2 times, last with: KeyError: 'x' (records.py:7, read)"
    assert [fact.cause for fact in committer.facts if isinstance(fact, StageInterrupted)] == [
        "KeyError: 'x' (records.py:7, read)"
    ]
