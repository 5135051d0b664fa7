"""kill -9 of a service, with the stage it holds if it holds one."""

import asyncio

from ropewalk.drills.recovery import StageWatch
from ropewalk.drills.scene import Scene, choose_service
from ropewalk.drills.scorecard import Observed, check, check_came, earliest
from ropewalk.drills.scoring import HeldStage
from ropewalk.drills.stackview import restarted
from ropewalk.events.drill import DrillCheck

prepare = choose_service


async def play(scene: Scene) -> Observed:
    """Kill it; the supervisor starts it again, and the stage goes on under a higher epoch."""
    held = scene.target.held
    return await (_idle(scene) if held is None else _working(scene, held))


async def _working(scene: Scene, held: HeldStage) -> Observed:
    async with StageWatch(scene, held) as watch:
        (noticed_s, ready_s), (gone_s, back_s) = await asyncio.gather(
            _killed(scene),
            watch.recovered(scene.mark.time),
        )
        lease = check_came("lease", gone_s, "gone", "its end is not in the log")
        return await watch.observed((earliest(noticed_s, gone_s), back_s), _started_again(ready_s), lease)


async def _idle(scene: Scene) -> Observed:
    noticed_s, ready_s = await _killed(scene)
    answered = ready_s is not None and await scene.answers(0)
    return Observed(
        detect_s=noticed_s,
        recover_s=await scene.seconds() if answered else None,
        lost_unit="stages",
        checks=(_started_again(ready_s), check("answers", answered, "the new process answers on the bus")),
    )


async def _killed(scene: Scene) -> tuple[float | None, float | None]:
    """Seconds until its end was noticed, and until it was ready again."""
    crew, hit = scene.ground.crew, scene.instance
    _, moments = await asyncio.gather(crew.kill(hit), restarted(crew.keeper, hit, scene.patience_s))
    return moments


def _started_again(ready_s: float | None) -> DrillCheck:
    return check_came("started again", ready_s, "ready", "it did not become ready")
