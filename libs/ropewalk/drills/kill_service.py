"""kill -9 of a service, with the stage it holds if it holds one."""

import asyncio
import signal

from ropewalk.drills.recovery import StageWatch
from ropewalk.drills.scene import Drill, Scene, choose_service
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.stackview import answers, restarted, send
from ropewalk.events.drill import DrillCheck


async def play(scene: Scene) -> Observed:
    """Kill it; the supervisor starts it again, and the stage goes on under a higher epoch."""
    return await (_idle(scene) if scene.target.held is None else _working(scene))


async def _working(scene: Scene) -> Observed:
    held, patience_s = scene.target.held, scene.ground.options.patience_s
    assert held is not None
    async with StageWatch(scene.ground.bus, held) as watch:
        send(scene.instance.pid, signal.SIGKILL)
        (noticed_s, ready_s), (gone_s, back_s) = await asyncio.gather(
            restarted(scene.ground.layout, scene.target.service, scene.instance.pid, patience_s),
            watch.recovered(scene.mark.time, patience_s),
        )
        moments = (_earliest(noticed_s, gone_s), back_s)
        own = (_started_again(ready_s), _lease(gone_s))
        return await watch.observed(scene.mark, moments, *own, patience_s=patience_s)


async def _idle(scene: Scene) -> Observed:
    ground, name = scene.ground, scene.target.service
    send(scene.instance.pid, signal.SIGKILL)
    noticed_s, ready_s = await restarted(ground.layout, name, scene.instance.pid, ground.options.patience_s)
    answered = ready_s is not None and await answers(ground.bus.connection, name, 0, ground.options.patience_s)
    recover_s = await scene.seconds() if answered else None
    return Observed(
        detect_s=noticed_s,
        recover_s=recover_s,
        lost_unit="stages",
        checks=(_started_again(ready_s), check("answers", answered, "the new process answers on the bus")),
    )


def _started_again(ready_s: float | None) -> DrillCheck:
    said = "it did not become ready" if ready_s is None else f"ready after {ready_s:.1f} s"
    return check("started again", ready_s is not None, said)


def _lease(gone_s: float | None) -> DrillCheck:
    said = "its end is not in the log" if gone_s is None else f"gone after {gone_s:.1f} s"
    return check("lease", gone_s is not None, said)


def _earliest(*moments: float | None) -> float | None:
    return min((each for each in moments if each is not None), default=None)


DRILL = Drill(
    name="kill-service",
    summary="kill -9 of a service, while it holds a stage if one is under way",
    prepare=choose_service,
    play=play,
)
