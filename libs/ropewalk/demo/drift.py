"""The last act: ordinary traffic until the monitor has its baseline, then shifted traffic until it raises an alarm."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from ropewalk.client.client import Client
from ropewalk.demo.load import send_all
from ropewalk.demo.prompts import longest_prompt, ordinary_prompts, shifted_prompts
from ropewalk.demo.screen import Screen
from ropewalk.demo.stages import DemoStages
from ropewalk.events.base import Message
from ropewalk.events.monitoring import AlarmRaised, BaselineSealed
from ropewalk.report.board import Board, after

NUM_ORDINARY = 160
NUM_SHIFTED = 80
MOST_EXTRA = 200
WATCH_TIMEOUT_S = 90.0
_BASELINE_TIMEOUT_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """To whom the prompts go, and how long they may be."""

    model: str
    context_length: int
    seed: int

    def ordinary(self, count: int) -> list[str]:
        """Python."""
        return ordinary_prompts(count, self.seed, longest_prompt(self.context_length))

    def shifted(self, count: int, more: int = 0) -> list[str]:
        """Prose; another `more` gives other prose."""
        return shifted_prompts(count, self.seed + more, longest_prompt(self.context_length))


@dataclass
class Audience:
    """Keeps the board up to date with what the monitor says while traffic runs."""

    client: Client
    run_id: str
    board: Board
    screen: Screen

    def show(self, stage: str, **changes: object) -> None:
        """Change one row."""
        self.board = self.board.update(stage, **changes)
        self.screen.board(self.board)

    async def wait_for(self, kind: type[Message], *, since: int = 0) -> Message:
        """Follow the monitor until it says something of this kind about the run, behind sequence `since`."""
        subject = f"{kind.subject_prefix()}.{self.run_id}"
        async for stored in self.client.bus.follow(subject, after=since):
            self.board = after(self.board, stored.message, stored.time.timestamp())
            self.screen.board(self.board)
            return stored.message
        raise AssertionError("a followed stream does not end")


async def ordinary_traffic(audience: Audience, stages: DemoStages, plan: Traffic) -> None:
    """Python prompts until the baseline is sealed; more of them if the first ones did not suffice."""
    async with stages.stage("traffic"):
        audience.show("traffic", status="running")
        await _send(audience, "traffic", plan.model, plan.ordinary(NUM_ORDINARY), asyncio.Event())
        waiting = audience.wait_for(BaselineSealed)
        await _within(waiting, _BASELINE_TIMEOUT_S)
    audience.show("traffic", status="done", share=1.0)


async def shifted_traffic(audience: Audience, stages: DemoStages, plan: Traffic) -> bool:
    """Prose instead of Python. Returns whether the monitor raised an alarm in time."""
    async with stages.stage("watch"):
        audience.show("watch", status="running", note="the traffic now is prose in German, French and legal English")
        # Only alarms behind this place of the log count: one from the ordinary traffic would be a false one.
        alarmed, now = asyncio.Event(), await audience.client.bus.end()

        async def listen() -> None:
            await audience.wait_for(AlarmRaised, since=now)
            alarmed.set()

        listening = asyncio.create_task(listen())
        try:
            await _within(_shift_until(audience, plan, alarmed), WATCH_TIMEOUT_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    audience.show("watch", status="done" if alarmed.is_set() else "failed", share=1.0)
    return alarmed.is_set()


async def _shift_until(audience: Audience, plan: Traffic, alarmed: asyncio.Event) -> None:
    await _send(audience, "watch", plan.model, plan.shifted(NUM_SHIFTED), asyncio.Event())
    if not alarmed.is_set():
        # Another batch of other prose, which stops as soon as the alarm is there.
        await _send(audience, "watch", plan.model, plan.shifted(MOST_EXTRA, more=1), alarmed)
    await alarmed.wait()


async def _send(audience: Audience, stage: str, model: str, prompts: list[str], stop: asyncio.Event) -> None:
    result = await send_all(
        audience.client.settings,
        model,
        prompts,
        lambda ended: audience.show(stage, share=ended / len(prompts), note=f"{ended} requests"),
        stop,
    )
    if result.num_failed:
        audience.screen.say(f"{result.num_failed} of {result.num_requests} requests failed: {result.last_error}")


async def _within(work: Coroutine[Any, Any, object], timeout_s: float) -> None:
    """Give up waiting silently: the card says what is missing."""
    try:
        await asyncio.wait_for(work, timeout_s)
    except TimeoutError:
        return
