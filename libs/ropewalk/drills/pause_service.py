"""SIGSTOP for longer than a lease lives, then SIGCONT: what wakes up is a zombie, and must not finish what it began.

While the holder sleeps, a second instance takes its stage over, unless the service has ports of its own: then the
service itself takes it up again when it wakes, under a higher epoch.
"""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from ropewalk.drills.recovery import StageWatch, idle_outage
from ropewalk.drills.scene import Scene, choose_service
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.scoring import HeldStage
from ropewalk.drills.stackview import second_instance

prepare = choose_service
_AGAIN = "answers again"


async def play(scene: Scene) -> Observed:
    """Stop it, wait, wake it up."""
    return await outage(scene, scene.ground.crew.asleep(scene.instance), _AGAIN, "it slept for {:.1f} s")


async def outage(scene: Scene, fault: AbstractAsyncContextManager[None], again: str, told: str) -> Observed:
    """A fault that keeps a service from the bus while inside. `again` names its check, `told` takes the seconds."""
    held = scene.target.held
    if held is not None:
        return await _working(scene, held, fault, again, told)
    return await idle_outage(scene, scene.instance.pid, fault, again, f"{told} and had nothing to do")


async def _working(
    scene: Scene, held: HeldStage, fault: AbstractAsyncContextManager[None], again: str, told: str
) -> Observed:
    first, twice = scene.instance, scene.ground.crew.may_run_twice(scene.instance)
    hold_s = scene.ground.options.hold_s or first.beyond_the_lease_s
    async with contextlib.AsyncExitStack() as stack:
        watch = await stack.enter_async_context(StageWatch(scene, held))
        if twice:
            second = await stack.enter_async_context(
                second_instance(scene.ground.layout, scene.target.service, first, {})
            )
            await scene.answers(second.pid)
        stopped_at = await scene.ground.now()
        # Asked right before the signal: a stage that ended just now would pass the drill without a fault.
        watch.still_held()
        async with fault:
            await asyncio.sleep(hold_s)
            if twice:
                # It sleeps until the other has taken over: woken earlier, it would only be slow, not a zombie.
                await watch.recovered(stopped_at)
        moments = await watch.recovered(stopped_at)
        found = check(again, await scene.answers(first.pid), told.format(hold_s))
        return await watch.observed(moments, found)
