"""The network between one instance of a service and the broker swallows everything.

A second instance is started behind a proxy and given the stage, by letting the first one sleep until it has lost its
lease. Then the second one's network is cut. So the supervised service never depends on the proxy, and whatever
becomes of the drill, the stack is as it was. Services with ports of their own cannot run twice and are refused.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ropewalk.bus.servers import servers_of
from ropewalk.drills.contained import Contained
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.pause_service import outage
from ropewalk.drills.proxy import CutProxy
from ropewalk.drills.recovery import StageWatch, idle_outage
from ropewalk.drills.scene import Ground, Scene, Target, choose_service
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.scoring import HeldStage
from ropewalk.drills.stackview import second_instance

_URL = "ROPEWALK_NATS_URL"
_RAY = "RAY_AUTH_TOKEN"
_AGAIN = "finds the bus again"


async def prepare(ground: Ground) -> Target:
    """A service that may run twice and is told the broker's address."""
    target = await choose_service(ground)
    assert target.running is not None
    if isinstance(ground.crew, Contained):
        if _RAY in target.running.environment:
            raise NotPreparedError(
                f"{target.service} drives Ray, which takes it for another machine when docker gives its container"
                " another address with the network: choose another --service"
            )
        return target
    if not ground.crew.may_run_twice(target.running):
        raise NotPreparedError(
            f"{target.service} listens on a port of its own, so no second instance can be put behind a proxy:"
            " choose another --service"
        )
    if _URL not in target.running.environment:
        raise NotPreparedError(f"{target.service} was started without {_URL}, so it cannot be put behind a proxy")
    server_of(target.service, target.running.environment[_URL])
    return target


def server_of(service: str, address: str) -> SplitResult:
    """The one server that a service knows. Raises NotPreparedError if there are several."""
    servers = servers_of(address)
    if len(servers) > 1:  # they tell a client of each other, so that it would go around the proxy
        raise NotPreparedError(
            f"{service} knows {len(servers)} servers ({_URL}), and a proxy cuts it off from one of them only: cut off"
            " its machine instead"
        )
    return urlsplit(servers[0])


async def play(scene: Scene) -> Observed:
    """Put a second instance behind the proxy, cut, heal. A container is cut off itself, from everything."""
    crew = scene.ground.crew
    if isinstance(crew, Contained):
        return await outage(scene, crew.cut_off(scene.instance), _AGAIN, "its container had no network for {:.1f} s")
    url = server_of(scene.target.service, scene.instance.environment[_URL])
    async with CutProxy(url.hostname or "127.0.0.1", url.port or 4222) as proxy:
        user, at, _ = url.netloc.rpartition("@")  # the same user, at another port of loopback
        changes = {_URL: urlunsplit(url._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}"))}
        async with second_instance(scene.ground.layout, scene.target.service, scene.instance, changes) as second:
            if not await scene.answers(second.pid):
                raise NotPreparedError(f"a second instance of {scene.target.service} did not become ready")
            scene.ground.say("the second instance is up behind the proxy")
            held = scene.target.held
            if held is None:
                told = "cut for {:.1f} s, with nothing to do"
                seen = await idle_outage(scene, second.pid, _cut(proxy), _AGAIN, told)
            else:
                seen = await _working(scene, held, proxy, second.pid)
    swallowed = check("network was cut", proxy.lost_bytes > 0, f"{proxy.lost_bytes:,} bytes were swallowed")
    return replace(seen, checks=(swallowed, *seen.checks))


async def _working(scene: Scene, held: HeldStage, proxy: CutProxy, behind: int) -> Observed:
    """The first instance sleeps until the one behind the proxy has its stage, and then that one is cut off."""
    async with StageWatch(scene, held) as watch:
        async with scene.ground.crew.asleep(scene.instance):
            await watch.recovered(scene.mark.time)
        theirs = watch.successor()
    if theirs is None:
        raise NotPreparedError(f"stage {held.stage} ended before it could be handed over: choose a longer run")
    async with StageWatch(scene, theirs) as watch:
        # Both instances have the same environment, so their leases live equally long.
        hold_s = scene.ground.options.hold_s or scene.instance.beyond_the_lease_s
        scene.ground.say(f"the second instance has the stage (epoch {theirs.epoch}); cutting its network")
        cut_at = await scene.ground.now()
        async with _cut(proxy):
            _, moments = await asyncio.gather(asyncio.sleep(hold_s), watch.recovered(cut_at))
        found = check(_AGAIN, await scene.answers(behind), f"cut for {hold_s:.1f} s")
        return await watch.observed(moments, found)


@contextlib.asynccontextmanager
async def _cut(proxy: CutProxy) -> AsyncIterator[None]:
    """Bytes are dropped while inside: a client that is told would reconnect at once, and nothing would be proved."""
    proxy.cut("drop")
    try:
        yield
    finally:
        proxy.heal()
