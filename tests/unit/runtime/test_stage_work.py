"""A cancellation that arrives while a stage looks whether its run was cancelled: nobody would say it again."""

from pathlib import Path
from typing import Any

from ropewalk.events.base import Message
from ropewalk.events.run import RunAccepted, StageState
from ropewalk.recipes.builtin import python_stdlib
from ropewalk.runtime.leases import Lease
from ropewalk.runtime.stage import StageContext, StageSpec
from ropewalk.runtime.stage_work import StageWork


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


async def test_it_ends_the_stage_before_the_work_begins(tmp_path: Path) -> None:
    begun: list[str] = []

    async def work(ctx: StageContext, accepted: RunAccepted) -> tuple[Message, ...]:
        begun.append(ctx.run_id)
        return ()

    trigger = RunAccepted(run_id="r", recipe={}, recipe_sha256="0")
    state = StageState(
        run_id="r", stage="s", status="running", epoch=1, attempt=1, operation_id="o", cause_id="c",
        cause_type=trigger.type_name(), cause_body=trigger.model_dump_json(),
    )  # fmt: skip
    bus, written = LookedUpInVain(), Written()
    context = StageContext(
        stage="s", run_id="r", epoch=1, attempt=1, cause_id="c", recipe=python_stdlib(),
        bus=bus, objects=None, scratch=tmp_path,
    )  # fmt: skip
    bus.work = StageWork(
        spec=StageSpec(name="s", trigger=RunAccepted, work=work),
        committer=written,
        state=state,
        revision=1,
        lease=Lease(subject="s", epoch=1, revision=1, ttl_s=10, on_lost=lambda: None),
        context=context,
    )
    await bus.work.run()
    assert written.ends == ["cancelled"]
    assert begun == []
