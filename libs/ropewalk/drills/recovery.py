"""Watching a stage whose holder is lost until somebody works on it again, and on to its end."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Self

from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.log import LogWatch, lease_gone
from ropewalk.drills.scene import Scene
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
from ropewalk.drills.stackview import answering
from ropewalk.drills.tasks import end
from ropewalk.events.drill import DrillCheck
from ropewalk.events.run import StageStarted

_IDLE_HOLD_S = 5.0  # how long a fault lasts for a service that holds no stage


class StageWatch:
    """The timeline of the run and the lease of the stage. Enter it before the fault."""

    def __init__(self, scene: Scene, held: HeldStage) -> None:
        self._scene = scene
        self._held = held
        self._watch = LogWatch(scene.ground.bus, f"evt.*.*.*.{held.run_id}")

    async def __aenter__(self) -> Self:
        held = self._held
        await self._watch.__aenter__()
        self._gone = asyncio.create_task(lease_gone(self._scene.ground.bus, held.stage, held.run_id, held.epoch))
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._gone)
        await self._watch.__aexit__()

    async def recovered(self, since: datetime) -> tuple[float | None, float | None]:
        """Seconds until the loss is in the log, and until the stage runs again or has ended after all."""
        held = self._held

        def after(seen: Timeline) -> Timeline:
            return [stored for stored in seen if stored.time >= since]

        back = await self._watch.until(
            lambda seen: taken_over(after(seen), held) or stage_ended(after(seen), held), self._scene.patience_s
        )
        sign = first_sign(after(self._watch.timeline), held)
        moments = [sign.time] if sign else []
        # The lease's end may come before any event: nobody says anything while nobody holds the stage.
        if self._gone.done() and not self._gone.cancelled():
            moments.append(self._gone.result())
        noticed_s = min(((each - since).total_seconds() for each in moments), default=None)
        return noticed_s, None if back is None else (back.time - since).total_seconds()

    def still_held(self) -> None:
        """Raises NotPreparedError if the stage ended before the fault could be caused."""
        if stage_ended(self._watch.timeline, self._held):
            raise NotPreparedError(f"stage {self._held.stage} ended before the fault was caused: choose a longer run")

    def successor(self) -> HeldStage | None:
        """Who took the stage over."""
        taken = taken_over(self._watch.timeline, self._held)
        if taken is None or not isinstance(taken.message, StageStarted):
            return None
        return replace(self._held, epoch=taken.message.epoch, sequence=taken.sequence)

    async def observed(self, moments: tuple[float | None, float | None], *own: DrillCheck) -> Observed:
        """Wait for the end of the stage. `moments` are those of `recovered`; `own` are the checks of the drill."""
        held, patience_s = self._held, self._scene.patience_s
        ended = await self._watch.until(lambda seen: stage_ended(seen, held), patience_s)
        timeline, taken = self._watch.timeline, self.successor()
        words = zombie_endings(timeline, held)
        epochs = f"epoch {held.epoch} was followed by {taken.epoch}" if taken else f"epoch {held.epoch} stayed"
        told = (
            f"{type(ended.message).__name__} {(ended.time - timeline[0].time).total_seconds():.0f} s into the run"
            if ended
            else f"not over after another {patience_s:.0f} s: effects are counted up to here"
        )
        detect_s, recover_s = moments
        fenced = check("old holder fenced", not words, "; ".join(words) or epochs)
        return Observed(
            detect_s=detect_s,
            recover_s=recover_s,
            lost=int(recover_s is None),
            lost_unit="stages",
            doubled=doubled_effects(timeline, self._scene.mark.sequence),
            checks=(*own, fenced, check("end of the stage", True, told)),
        )


async def idle_outage(
    scene: Scene, pid: int, fault: AbstractAsyncContextManager[None], again: str, told: str
) -> Observed:
    """A fault for an instance that holds no stage. `again` is the name of its check, `told` takes the seconds."""
    name, connection = scene.target.service, scene.ground.bus.connection
    hold_s = scene.ground.options.hold_s or _IDLE_HOLD_S
    since = await scene.ground.now()
    async with fault:
        silent = pid not in await answering(connection, name)
        # `answering` has waited for its replies, so this is when the silence was known, not when it began.
        detect_s = await scene.seconds(since)
        await asyncio.sleep(max(0.0, hold_s - detect_s))
    back = await scene.answers(pid)
    return Observed(
        detect_s=detect_s if silent else None,
        recover_s=await scene.seconds(since) if back else None,
        lost_unit="stages",
        checks=(check(again, back, told.format(hold_s)),),
    )
