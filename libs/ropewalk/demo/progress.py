"""What is said of the demo's run: on the screen, and in the log about the stages that the demo itself owns.

Those are stack, traffic, watch and report. They have no lease, so their epoch is 0.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.client.client import Client
from ropewalk.demo.screen import Screen
from ropewalk.events.base import Message
from ropewalk.events.run import StageCompleted, StageStarted
from ropewalk.report.board import Board, after


@dataclass
class DemoProgress:
    """Of one run. `cpu_clock` says how many CPU seconds the whole stack has used so far."""

    client: Client
    run_id: str
    screen: Screen
    cpu_clock: Callable[[], float]
    board: Board = field(default_factory=Board)

    def show(self, stage: str, **changes: object) -> None:
        """Change one row."""
        self.board = self.board.update(stage, **changes)
        self.screen.board(self.board)

    def saw(self, stored: Stored[Any]) -> None:
        """The log went on by one message."""
        self.board = after(self.board, stored.message, stored.time.timestamp())
        self.screen.board(self.board)

    async def wait_for(self, kind: type[Message], *, since: int = 0) -> Message:
        """Follow the monitor until it says something of this kind about the run, behind sequence `since`."""
        async for stored in self.client.bus.follow(f"{kind.subject_prefix()}.{self.run_id}", after=since):
            self.saw(stored)
            return stored.message
        raise AssertionError("a followed stream does not end")

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncIterator[None]:
        """Everything inside belongs to the stage; if it raises, the stage is not completed."""
        await self._publish(StageStarted(run_id=self.run_id, stage=name, epoch=0))
        # The demo's own work happens in every process of the stack, so its CPU time is what all of them used meanwhile.
        began, cpu_before = time.monotonic(), self.cpu_clock()
        yield
        await self._completed(name, time.monotonic() - began, max(0.0, self.cpu_clock() - cpu_before))

    async def before_the_log(self, name: str, seconds: float) -> None:
        """A stage that ended before there was a log to write to; it used all CPU time there is."""
        await self._publish(StageStarted(run_id=self.run_id, stage=name, epoch=0))
        await self._completed(name, seconds, self.cpu_clock())

    async def _completed(self, name: str, seconds: float, cpu_seconds: float) -> None:
        done = StageCompleted(run_id=self.run_id, stage=name, epoch=0, seconds=seconds, cpu_seconds=cpu_seconds)
        await self._publish(done)

    async def _publish(self, message: StageStarted | StageCompleted) -> None:
        """Once per run and stage, however often the demo is interrupted: the id follows from both."""
        await self.client.bus.publish(message, cause_id=f"demo/{self.run_id}", key=message.stage)
