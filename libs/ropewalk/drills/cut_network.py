"""The network between one instance of a service and the broker swallows everything.

A second instance is started behind a proxy and given the stage, by letting the first one sleep until it has lost its
lease. Then the second one's network is cut. So the supervised service never depends on the proxy, and whatever
becomes of the drill, the stack is as it was. Services with ports of their own cannot run twice and are refused.
"""

import asyncio
from urllib.parse import urlsplit, urlunsplit

from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.pause_service import asleep
from ropewalk.drills.proxy import CutProxy
from ropewalk.drills.recovery import StageWatch
from ropewalk.drills.scene import IDLE_HOLD_S, Drill, Ground, Scene, Target, choose_service
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.stackview import Instance, answering, answers, may_run_twice, second_instance
from ropewalk.events.drill import DrillCheck

_URL = "ROPEWALK_NATS_URL"


async def prepare(ground: Ground) -> Target:
    """A service that may run twice and is told the broker's address."""
    target = await choose_service(ground)
    assert target.running is not None
    if not may_run_twice(target.running):
        raise NotPreparedError(
            f"{target.service} listens on a port of its own, so no second instance can be put behind a proxy:"
            " choose another --service"
        )
    if _URL not in target.running.environment:
        raise NotPreparedError(f"{target.service} was started without {_URL}, so it cannot be put behind a proxy")
    return target


async def play(scene: Scene) -> Observed:
    """Put a second instance behind the proxy, cut, heal."""
    url = urlsplit(scene.instance.environment[_URL])
    async with CutProxy(url.hostname or "127.0.0.1", url.port or 4222) as proxy:
        through = urlunsplit(url._replace(netloc=_with_port(url.netloc, proxy.port)))
        changes = {_URL: through}
        async with second_instance(scene.ground.layout, scene.target.service, scene.instance, changes) as second:
            ready = await answers(
                scene.ground.bus.connection, scene.target.service, second.pid, scene.ground.options.patience_s
            )
            if not ready:
                raise NotPreparedError(f"a second instance of {scene.target.service} did not become ready")
            scene.ground.say("the second instance is up behind the proxy")
            behind = Instance(pid=second.pid, command=(), environment=scene.instance.environment)
            return await (_idle(scene, proxy, behind) if scene.target.held is None else _working(scene, proxy, behind))


async def _working(scene: Scene, proxy: CutProxy, behind: Instance) -> Observed:
    held, options, bus = scene.target.held, scene.ground.options, scene.ground.bus
    assert held is not None
    async with StageWatch(bus, held) as watch:
        async with asleep(scene.instance.pid):
            await watch.recovered(scene.mark.time, options.patience_s)
        theirs = watch.successor()
    if theirs is None:
        raise NotPreparedError(f"stage {held.stage} ended before it could be handed over: choose a longer run")
    async with StageWatch(bus, theirs) as watch:
        hold_s = options.hold_s or behind.beyond_the_lease_s
        scene.ground.say(f"the second instance has the stage (epoch {theirs.epoch}); cutting its network")
        cut_at = await scene.ground.now()
        # Dropped, not reset: a client that is told would reconnect at once, and nothing would be proved.
        proxy.cut("drop")
        try:
            _, moments = await asyncio.gather(asyncio.sleep(hold_s), watch.recovered(cut_at, options.patience_s))
        finally:
            proxy.heal()
        found = await answers(bus.connection, scene.target.service, behind.pid, options.patience_s)
        own = (_swallowed(proxy), check("finds the bus again", found, f"cut for {hold_s:.1f} s"))
        return await watch.observed(scene.mark, moments, *own, patience_s=options.patience_s)


async def _idle(scene: Scene, proxy: CutProxy, behind: Instance) -> Observed:
    connection, name = scene.ground.bus.connection, scene.target.service
    hold_s = scene.ground.options.hold_s or IDLE_HOLD_S
    cut_at = await scene.ground.now()
    proxy.cut("drop")
    try:
        silent = behind.pid not in await answering(connection, name)
        detect_s = await scene.seconds(cut_at)
        await asyncio.sleep(max(0.0, hold_s - detect_s))
    finally:
        proxy.heal()
    found = await answers(connection, name, behind.pid, scene.ground.options.patience_s)
    return Observed(
        detect_s=detect_s if silent else None,
        recover_s=await scene.seconds(cut_at) if found else None,
        lost_unit="stages",
        checks=(_swallowed(proxy), check("finds the bus again", found, f"cut for {hold_s:.1f} s, with nothing to do")),
    )


def _swallowed(proxy: CutProxy) -> DrillCheck:
    return check("network was cut", proxy.lost_bytes > 0, f"{proxy.lost_bytes:,} bytes were swallowed")


def _with_port(netloc: str, port: int) -> str:
    """The same user at another port of loopback."""
    user, at, _ = netloc.rpartition("@")
    return f"{user}{at}127.0.0.1:{port}"


DRILL = Drill(
    name="cut-network",
    summary="the network between an instance of a service and the broker swallows every byte",
    prepare=prepare,
    play=play,
)
