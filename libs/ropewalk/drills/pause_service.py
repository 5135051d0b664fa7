"""SIGSTOP for longer than a lease lives, then SIGCONT: what wakes up is a zombie, and must not finish what it began.

While the holder sleeps, a second instance takes its stage over, unless the service has ports of its own: then the
service itself takes it up again when it wakes, under a higher epoch.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from ropewalk.drills.recovery import StageWatch
from ropewalk.drills.scene import IDLE_HOLD_S, Drill, Scene, choose_service
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.stackview import answering, answers, may_run_twice, second_instance, send


async def play(scene: Scene) -> Observed:
    """Stop it, wait, wake it up."""
    return await (_idle(scene) if scene.target.held is None else _working(scene))


@contextlib.asynccontextmanager
async def asleep(pid: int) -> AsyncIterator[None]:
    """The process and its children sleep while inside; they wake up whatever happens."""
    send(pid, signal.SIGSTOP, with_children=True)
    try:
        yield
    finally:
        send(pid, signal.SIGCONT, with_children=True)


async def _working(scene: Scene) -> Observed:
    held, options, first = scene.target.held, scene.ground.options, scene.instance
    assert held is not None
    hold_s = options.hold_s or first.beyond_the_lease_s
    async with contextlib.AsyncExitStack() as stack:
        watch = await stack.enter_async_context(StageWatch(scene.ground.bus, held))
        if may_run_twice(first):
            second = await stack.enter_async_context(
                second_instance(scene.ground.layout, scene.target.service, first, {})
            )
            await answers(scene.ground.bus.connection, scene.target.service, second.pid, options.patience_s)
        stopped_at = await scene.ground.now()
        # Asked right before the signal: a stage that ended just now would pass the drill without a fault.
        watch.still_held()
        async with asleep(first.pid):
            await asyncio.sleep(hold_s)
            if may_run_twice(first):
                # It sleeps until the other has taken over: woken earlier, it would only be slow, not a zombie.
                await watch.recovered(stopped_at, options.patience_s)
        moments = await watch.recovered(stopped_at, options.patience_s)
        awake = await answers(scene.ground.bus.connection, scene.target.service, first.pid, options.patience_s)
        again = check("answers again", awake, f"it slept for {hold_s:.1f} s")
        return await watch.observed(scene.mark, moments, again, patience_s=options.patience_s)


async def _idle(scene: Scene) -> Observed:
    ground, name, hold_s = scene.ground, scene.target.service, scene.ground.options.hold_s or IDLE_HOLD_S
    connection, pid = ground.bus.connection, scene.instance.pid
    async with asleep(pid):
        noticed = pid not in await answering(connection, name)
        # `answering` has waited for its replies, so this is when the silence was known, not when it began.
        detect_s = await scene.seconds()
        await asyncio.sleep(max(0.0, hold_s - detect_s))
    awake = await answers(connection, name, pid, ground.options.patience_s)
    return Observed(
        detect_s=detect_s if noticed else None,
        recover_s=await scene.seconds() if awake else None,
        lost_unit="stages",
        checks=(check("answers again", awake, f"it slept for {hold_s:.1f} s and had nothing to do"),),
    )


DRILL = Drill(
    name="pause-service",
    summary="SIGSTOP of a service for longer than its lease lives, then SIGCONT: the zombie must be fenced off",
    prepare=choose_service,
    play=play,
)
