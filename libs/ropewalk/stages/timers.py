"""The watchdog and the deadline of a stage, kept by the server so that they fire even if no instance is left."""

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from ropewalk.bus.bus import Bus
from ropewalk.bus.schedules import arm, disarm
from ropewalk.events.consumers import deadline_of, stall_of
from ropewalk.events.moments import moment_of
from ropewalk.events.run import StageState
from ropewalk.stages.context import StageSpec
from ropewalk.stages.work import StageWork

_ARMED_PER_STALL = 4  # so that a sign of progress is at most a quarter of `stall_s` late
_SILENT = 0.75  # of `stall_s`: a watchdog that fires earlier was overtaken by a sign of progress


class StageTimers:
    """Arms the timers of one stage. It works beside the stage: it must not wait for a broker that is away."""

    def __init__(self, bus: Bus, spec: StageSpec) -> None:
        self._bus = bus
        self._spec = spec
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks only weakly

    def arm_deadline(self, run_id: str, at_unix: float) -> None:
        """Fail the run at a time in seconds since 1970, if it has one."""
        if at_unix:
            self._beside(arm(self._bus, deadline_of(self._spec.name), run_id, moment_of(at_unix)))

    async def watch(self, work: StageWork) -> None:
        """Put off the watchdog as long as the work gets on. Never ends."""
        armed_at = 0.0
        while True:
            if work.context.progressed_at > armed_at:
                armed_at = time.monotonic()
                at = datetime.now(UTC) + timedelta(seconds=self._spec.stall_s - (armed_at - work.context.progressed_at))
                epoch = str(work.state.epoch).encode()
                self._beside(arm(self._bus, stall_of(self._spec.name), work.state.run_id, at, epoch))
            await asyncio.sleep(self._spec.stall_s / _ARMED_PER_STALL)

    def is_silent(self, work: StageWork) -> bool:
        """Whether the work has shown no progress for about `stall_s`."""
        return time.monotonic() - work.context.progressed_at > self._spec.stall_s * _SILENT

    def disarm(self, state: StageState) -> None:
        """The stage has ended: its timers would only be looked at in vain."""
        self._beside(disarm(self._bus, stall_of(self._spec.name), state.run_id))
        if state.deadline_unix:
            self._beside(disarm(self._bus, deadline_of(self._spec.name), state.run_id))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
