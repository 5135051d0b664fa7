"""kill -9 of nats-server: what it acknowledged is still there, and everybody finds it again."""

import asyncio
import hashlib

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import RawMessage
from ropewalk.drills.prober import Prober
from ropewalk.drills.scene import Ground, Scene, Target
from ropewalk.drills.scorecard import Observed, check, earliest
from ropewalk.drills.stackview import BROKER, answers, restarted, services

_NUM_PROBES = 20  # acknowledged before the kill, and again after it
_NUM_COMPARED = 500


async def prepare(ground: Ground) -> Target:
    """The broker, ready."""
    return Target(description=BROKER, service=BROKER, running=ground.crew.instance(BROKER))


async def play(scene: Scene) -> Observed:
    """Kill it between two probes; compare the log before and after."""
    ground, patience_s = scene.ground, scene.patience_s
    end = await ground.bus.end()
    before = await _fingerprint(ground.bus, end)
    loop = asyncio.get_running_loop()
    async with Prober(ground.bus, scene.mark, scene.drill_id) as prober:
        await prober.until(_NUM_PROBES, patience_s)
        # The server's clock is asked while it still lives; our own clock measures what its successor cannot know.
        killed_at, killed_by_log = loop.time(), await ground.now()
        noticing = asyncio.create_task(restarted(ground.crew.keeper, scene.instance, patience_s))
        await ground.crew.kill(scene.instance)
        under_way = prober.number
        accepts = await prober.until(under_way + _NUM_PROBES, patience_s)
        noticed_s, _ = await noticing
        # Inside: the probes go on while services reconnect, as other people's messages would.
        silent = await _silent(ground, patience_s)
        everybody_s = await scene.seconds(killed_by_log)
    probes = await prober.verdict(under_way)
    lost = len(probes.missing) + len(set(before.items()) - set((await _fingerprint(ground.bus, end)).items()))
    accepted_s = None if probes.first is None else (probes.first.time - killed_by_log).total_seconds()
    refused_s = None if prober.refused_at is None else prober.refused_at - killed_at
    kept = f"{len(before)} earlier messages and {probes.num_stored} probes"
    return Observed(
        detect_s=earliest(noticed_s, refused_s),
        recover_s=everybody_s if accepts and not silent else None,
        lost=lost,
        lost_unit="messages",
        doubled=probes.doubled,
        checks=(
            check("accepts again", accepts, f"first message acknowledged after {accepted_s or 0:.2f} s"),
            check("every service answers", not silent, ", ".join(silent) or f"all after {everybody_s:.1f} s"),
            check("keeps what it acknowledged", not lost, kept),
        ),
    )


async def _silent(ground: Ground, patience_s: float) -> list[str]:
    """Services that do not answer in time."""
    names = services(ground.crew.keeper)
    found = await asyncio.gather(*(answers(ground.bus.connection, name, 0, patience_s) for name in names))
    return [name for name, answered in zip(names, found, strict=True) if not answered]


async def _fingerprint(bus: Bus, end: int) -> dict[int, str]:
    """Sequence -> hash of the newest messages up to `end`, less what was only said to the server that took them.

    A mirror may answer, and its copies lack those headers.
    """
    first = max(1, end - _NUM_COMPARED + 1)
    return {raw.sequence: _hash(raw) async for raw in bus.raw(">", first=first, last=end)}


def _hash(raw: RawMessage) -> str:
    said = {
        name: value for name, value in raw.headers.items() if not name.startswith(("Nats-Expected-", "Nats-Batch-"))
    }
    return hashlib.sha256(f"{raw.subject} {said}".encode() + raw.body).hexdigest()
