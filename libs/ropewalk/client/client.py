"""The asynchronous client: requests go out on the bus, answers are read from the log."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from pydantic import JsonValue

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.client.dead_letters import DLQ, refusal_of
from ropewalk.client.endpoints import Table, query
from ropewalk.client.errors import ClientError, UnknownRunError, UnreachableError
from ropewalk.client.log import all_runs
from ropewalk.client.run_id import check_run_id, new_run_id
from ropewalk.client.settings import ClientSettings, find_settings
from ropewalk.events.base import Message
from ropewalk.events.pauses import standing_of
from ropewalk.events.run import (
    CancelRun,
    PauseRun,
    ResumeRun,
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunRejected,
    RunResumed,
    SubmitRun,
)
from ropewalk.projections.runs import RunSummary
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.paths import with_absolute_paths
from ropewalk.recipes.recipe import Recipe, RecipeError

_CONNECT_TIMEOUT_S = 10.0
_ANSWER_S = 15.0
M = TypeVar("M", bound=Message)
ENDINGS = (RunRejected, RunCompleted, RunFailed, RunCancelled)


class Client:
    """A user of a stack. Create it with `connect`; use it as an asynchronous context manager."""

    def __init__(self, bus: Bus, settings: ClientSettings) -> None:
        self.bus = bus
        self.settings = settings

    @classmethod
    async def connect(cls, settings: ClientSettings | None = None) -> Self:
        """Connect to the stack of `settings`, by default the embedded one. Raises UnreachableError."""
        chosen = settings or find_settings()
        try:
            bus = await asyncio.wait_for(Bus.connect(chosen.nats, "client"), _CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise UnreachableError(f"the bus at {chosen.nats.address} does not answer") from None
        return cls(bus, chosen)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self.bus.close()

    def new_run_id(self, fields: dict[str, JsonValue]) -> str:
        """A fresh id for a run of this recipe, for those who publish about the run before they submit it."""
        return new_run_id(str(fields.get("name") or fields.get("base") or "custom"), datetime.now(UTC))

    async def submit(
        self,
        recipe: Recipe | dict[str, JsonValue],
        run_id: str | None = None,
        *,
        priority: int = 0,
        owner: str = "",
        deadline_s: float = 0.0,
    ) -> str:
        """Ask for a run and return its id. Whether the recipe is sound is decided by ingest, in the log.

        A higher `priority` is served first; `deadline_s` seconds from now the run fails (0: never). Raises
        ClientError if `run_id` is not valid, that of a run that was rejected, or that of one that was accepted with
        another recipe; with the same recipe nothing new is started. Relative paths are meant from the working folder
        of this process.
        """
        # The services run in other folders than this process, so a relative path would name another file there.
        fields = with_absolute_paths(recipe.as_json() if isinstance(recipe, Recipe) else recipe, Path.cwd())
        chosen = check_run_id(run_id or self.new_run_id(fields))
        if run_id and (rejected := await self.bus.last(RunRejected, run_id)) is not None:
            reason = rejected.violations[0]
            raise ClientError(f"run {run_id} was rejected and its id is taken ({reason}): submit under a new run id")
        if run_id and (accepted := await self.accepted(run_id)) is not None:
            # Services elsewhere resolve a built-in recipe to other paths, hence the second look at what was asked.
            if not _is_of(accepted, fields) and await self._first_request(run_id) != fields:
                raise ClientError(f"run {run_id} was accepted with another recipe: submit this one under a new run id")
            return run_id
        request = SubmitRun(run_id=chosen, recipe=fields, priority=priority, owner=owner, deadline_s=deadline_s)
        await self.bus.publish(request)
        return chosen

    async def accepted(self, run_id: str) -> RunAccepted | None:
        """The acceptance of a run, however the run got on since; None if there is none."""
        return await self.bus.last(RunAccepted, check_run_id(run_id))

    async def _first_request(self, run_id: str) -> dict[str, JsonValue] | None:
        """The recipe as it was first asked for: a built-in one has other paths where the services run than here."""
        async for stored in self.bus.read(f"{SubmitRun.subject_prefix()}.{run_id}"):
            if isinstance(stored.message, SubmitRun):
                return stored.message.recipe
        return None

    async def answer(self, run_id: str, within_s: float = 15.0) -> RunAccepted | RunRejected | None:
        """Whether a run that was submitted is accepted or rejected; None if nobody says so in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), contextlib.aclosing(self.follow(run_id)) as facts:
                async for stored in facts:
                    if isinstance(stored.message, RunAccepted | RunRejected):
                        return stored.message
        return None

    async def ask_for(
        self, request: Message, fact: type[M], is_it: Callable[[M], bool], *, within_s: float, asked: str
    ) -> None:
        """Publish a request and wait until the log has the fact it asks for, about the same run or other thing.

        Raises ClientError with the reason if the request was set aside, or else, beginning with what was `asked` of
        whom, if neither is known in time.
        """
        end, letters = await self.bus.end(), await self.bus.end(stream=DLQ)
        await self.bus.publish(request)

        async def fulfilled() -> str:
            async for stored in self.bus.follow(f"{fact.subject_prefix()}.{request.entity}", after=end):
                if isinstance(stored.message, fact) and is_it(stored.message):
                    break
            return ""

        waiting = [asyncio.create_task(fulfilled()), asyncio.create_task(refusal_of(self.bus, request, letters))]
        done, left = await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if not done:
            raise ClientError(
                f"{asked} and has not done so for {within_s:.0f} s; it will once it can, and `ropewalk status` says "
                "what keeps it"
            )
        if why := done.pop().result():
            raise ClientError(why)

    async def follow(self, run_id: str) -> AsyncGenerator[Stored[Message], None]:
        """The facts of a run from its beginning, until it is over."""
        async for stored in self.bus.follow(f"evt.*.*.*.{check_run_id(run_id)}"):
            yield stored
            if isinstance(stored.message, ENDINGS):
                return

    async def timeline(self, run_id: str) -> list[Stored[Message]]:
        """Everything the log has about a run now, in order. Raises UnknownRunError."""
        stored = [item async for item in self.bus.read(f"*.*.*.*.{check_run_id(run_id)}") if _for_people(item)]
        if not stored:
            raise UnknownRunError(run_id)
        return stored

    async def runs(self) -> list[RunSummary]:
        """All runs in the log, oldest first."""
        return await asyncio.to_thread(all_runs, self.settings)

    async def cancel(self, run_id: str, mode: Literal["checkpoint", "now"] = "checkpoint", reason: str = "") -> None:
        """Ask for a run to stop. Raises UnknownRunError, and ClientError if the run has ended already."""
        timeline = await self.timeline(run_id)
        ending = next((stored for stored in timeline if isinstance(stored.message, ENDINGS)), None)
        if ending is not None:
            how = ending.message.subject_prefix().split(".")[2]
            raise ClientError(
                f"run {run_id} ended at {ending.time:%Y-%m-%d %H:%M:%S} UTC ({how}): nothing is left to stop"
            )
        await self.bus.publish(CancelRun(run_id=run_id, mode=mode, reason=reason))

    async def pause(self, run_id: str, reason: str = "") -> None:
        """Let a run in training save and wait. Raises UnknownRunError, and ClientError where it cannot be paused."""
        standing = standing_of(item.message for item in await self.timeline(run_id))
        if why := standing.why_not_pause():
            raise ClientError(f"run {run_id} {why}")
        request, asked = PauseRun(run_id=run_id, reason=reason), f"ingest was asked to pause run {run_id}"
        await self.ask_for(request, RunPaused, lambda _: True, within_s=_ANSWER_S, asked=asked)

    async def resume(self, run_id: str) -> None:
        """Let a paused run go on. Raises UnknownRunError, and ClientError where it is not paused."""
        standing = standing_of(item.message for item in await self.timeline(run_id))
        if why := standing.why_not_resume():
            raise ClientError(f"run {run_id} {why}")
        asked = f"ingest was asked to resume run {run_id}"
        await self.ask_for(ResumeRun(run_id=run_id), RunResumed, lambda _: True, within_s=_ANSWER_S, asked=asked)

    async def query(self, sql: str) -> Table:
        """Ask the analytics database. Raises EndpointRefusedError, UnreachableError."""
        return await query(self.settings, sql)


def _is_of(accepted: RunAccepted, fields: dict[str, JsonValue]) -> bool:
    """Whether a run was accepted with the recipe that these fields mean."""
    try:
        return resolve_recipe(fields).sha256() == accepted.recipe_sha256
    except RecipeError:
        return False


def _for_people(stored: Stored[Message]) -> bool:
    """Requests and facts; snapshots and timers repeat them."""
    return stored.message.plane in ("cmd", "evt")
