"""Watching a stage whose holder is lost until somebody works on it again, and on to its end."""

import asyncio
import math
from datetime import datetime
from typing import Self

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.log import LogWatch, lease_gone
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.scoring import (
    HeldStage,
    Timeline,
    doubled_effects,
    first_sign,
    stage_ended,
    taken_over,
    zombie_endings,
)
from ropewalk.drills.tasks import end
from ropewalk.events.base import Message
from ropewalk.events.drill import DrillCheck
from ropewalk.events.run import StageStarted


class StageWatch:
    """The timeline of the run and the lease of the stage. Enter it before the fault."""

    def __init__(self, bus: Bus, held: HeldStage) -> None:
        self._bus = bus
        self._held = held
        self._watch = LogWatch(bus, f"evt.*.*.*.{held.run_id}")
        self._gone: asyncio.Task[datetime] | None = None

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        self._gone = asyncio.create_task(lease_gone(self._bus, self._held.stage, self._held.run_id, self._held.epoch))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._gone is not None
        await end(self._gone)
        await self._watch.__aexit__()

    @property
    def timeline(self) -> Timeline:
        """What the log says about the run so far."""
        return self._watch.timeline

    async def recovered(self, since: datetime, patience_s: float) -> tuple[float | None, float | None]:
        """Seconds until the loss is in the log, and until the stage runs again or has ended after all."""
        held = self._held

        def after(seen: Timeline) -> Timeline:
            return [stored for stored in seen if stored.time >= since]

        back = await self._watch.until(
            lambda seen: taken_over(after(seen), held) or stage_ended(after(seen), held), patience_s
        )
        sign = first_sign(after(self.timeline), held)
        moments = [sign.time] if sign else []
        # The lease's end may come before any event: nobody says anything while nobody holds the stage.
        if self._gone is not None and self._gone.done() and not self._gone.cancelled():
            moments.append(self._gone.result())
        noticed_s = min(((each - since).total_seconds() for each in moments), default=math.nan)
        return (
            None if math.isnan(noticed_s) else noticed_s,
            None if back is None else (back.time - since).total_seconds(),
        )

    def still_held(self) -> None:
        """Raises NotPreparedError if the stage ended before the fault could be caused."""
        if stage_ended(self.timeline, self._held):
            raise NotPreparedError(f"stage {self._held.stage} ended before the fault was caused: choose a longer run")

    def successor(self) -> HeldStage | None:
        """Who took the stage over."""
        taken = taken_over(self.timeline, self._held)
        if taken is None or not isinstance(taken.message, StageStarted):
            return None
        return HeldStage(
            run_id=self._held.run_id,
            stage=self._held.stage,
            epoch=taken.message.epoch,
            service=self._held.service,
            sequence=taken.sequence,
        )

    async def observed(
        self, mark: Stored[Message], moments: tuple[float | None, float | None], *own: DrillCheck, patience_s: float
    ) -> Observed:
        """What was seen after `mark`. `moments` are those of `recovered`; `own` are the checks of the drill."""
        detect_s, recover_s = moments
        checks = (*own, *await self._checks(patience_s))
        return Observed(
            detect_s=detect_s,
            recover_s=recover_s,
            lost=int(recover_s is None),
            lost_unit="stages",
            doubled=doubled_effects(self.timeline, mark.sequence),
            checks=checks,
        )

    async def _checks(self, patience_s: float) -> tuple[DrillCheck, ...]:
        """Wait for the end of the stage, then say whether it has one end, by its last holder."""
        held = self._held
        ended = await self._watch.until(lambda seen: stage_ended(seen, held), patience_s)
        taken = self.successor()
        words = zombie_endings(self.timeline, held)
        epochs = f"epoch {held.epoch} was followed by {taken.epoch}" if taken else f"epoch {held.epoch} stayed"
        end = (
            f"{type(ended.message).__name__} {(ended.time - self.timeline[0].time).total_seconds():.0f} s into the run"
            if ended
            else f"not over after another {patience_s:.0f} s: effects are counted up to here"
        )
        return (
            check("old holder fenced", not words, "; ".join(words) or epochs),
            check("end of the stage", True, end),
        )
