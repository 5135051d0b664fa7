"""SIGSTOP for longer than a lease lives, then SIGCONT: what wakes up is a zombie, and must not finish what it began.

While the holder sleeps, a second instance takes its stage over, unless the service has ports of its own: then the
service itself takes it up again when it wakes, under a higher epoch.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from ropewalk.drills.recovery import StageWatch, idle_outage
from ropewalk.drills.scene import Scene, choose_service
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.scoring import HeldStage
from ropewalk.drills.stackview import may_run_twice, second_instance, send

prepare = choose_service
_AGAIN = "answers again"


async def play(scene: Scene) -> Observed:
    """Stop it, wait, wake it up."""
    pid, held = scene.instance.pid, scene.target.held
    if held is not None:
        return await _working(scene, held)
    return await idle_outage(scene, pid, asleep(pid), _AGAIN, "it slept for {:.1f} s and had nothing to do")


@contextlib.asynccontextmanager
async def asleep(pid: int) -> AsyncIterator[None]:
    """The process and its children sleep while inside; they wake up whatever happens."""
    send(pid, signal.SIGSTOP, with_children=True)
    try:
        yield
    finally:
        send(pid, signal.SIGCONT, with_children=True)


async def _working(scene: Scene, held: HeldStage) -> Observed:
    first = scene.instance
    hold_s = scene.ground.options.hold_s or first.beyond_the_lease_s
    async with contextlib.AsyncExitStack() as stack:
        watch = await stack.enter_async_context(StageWatch(scene, held))
        if may_run_twice(first):
            second = await stack.enter_async_context(
                second_instance(scene.ground.layout, scene.target.service, first, {})
            )
            await scene.answers(second.pid)
        stopped_at = await scene.ground.now()
        # Asked right before the signal: a stage that ended just now would pass the drill without a fault.
        watch.still_held()
        async with asleep(first.pid):
            await asyncio.sleep(hold_s)
            if may_run_twice(first):
                # It sleeps until the other has taken over: woken earlier, it would only be slow, not a zombie.
                await watch.recovered(stopped_at)
        moments = await watch.recovered(stopped_at)
        again = check(_AGAIN, await scene.answers(first.pid), f"it slept for {hold_s:.1f} s")
        return await watch.observed(moments, again)
