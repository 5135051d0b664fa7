"""Unreadable messages among healthy ones: each becomes one dead letter per consumer, and holds up nobody.

Healthy traffic are submissions of a recipe with an unknown field: ingest answers each with RunRejected, and the log
has the time of both. They stay in the list of runs as refused.
"""

import asyncio
import json
from datetime import datetime

import nats.errors

from ropewalk.bus.bus import Bus
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.log import LogWatch
from ropewalk.drills.scene import Ground, Scene, Target
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.scoring import Timeline
from ropewalk.drills.traffic import Readers, letters_wrong, poisons, readers_of, slower
from ropewalk.events.run import RunRejected, SubmitRun

_NUM_HEALTHY = 20
_NUM_POISON = 24
_PACE_S = 0.05
_LOOK_S = 0.2
_SEND_TIMEOUT_S = 5.0
_ANSWERS = f"{RunRejected.subject_prefix()}.*"
_UNKNOWN = "a_field_of_a_drill"


async def prepare(ground: Ground) -> Target:
    """Consumers that read message types of the log."""
    readers = await _readers(ground.bus)
    if SubmitRun.subject_prefix() not in readers:
        raise NotPreparedError("nobody reads submissions on this bus: start the stack with `ropewalk up`")
    names = {name for each in readers.values() for name in each.must}
    return Target(description=f"{_NUM_POISON} messages for {len(names)} consumers on {len(readers)} subjects")


async def play(scene: Scene) -> Observed:
    """Healthy traffic alone, then among poison."""
    bus = scene.ground.bus
    readers = await _readers(bus)
    async with LogWatch(bus, f"{SubmitRun.subject_prefix()}.*") as asked, LogWatch(bus, _ANSWERS) as told:
        before = await _latencies(scene, asked, told, "a")
        letters_from, began = await bus.end(stream="DLQ") + 1, await scene.ground.now()
        # At the same time as the healthy ones, or nobody could be held up.
        sending = asyncio.create_task(_send(bus, sorted(readers), scene))
        during = await _latencies(scene, asked, told, "b")
        poison = await sending
    first, wrong = await _settled(scene, letters_from, poison, readers)
    suffers, told_so = slower(before, during)
    answered = len(before) == len(during) == _NUM_HEALTHY
    return Observed(
        detect_s=None if first is None else (first - began).total_seconds(),
        recover_s=None if wrong else await scene.seconds(began),
        lost=2 * _NUM_HEALTHY - len(before) - len(during),
        lost_unit="requests",
        checks=(
            check("one dead letter each", not wrong, "; ".join(wrong[:3]) or f"for {len(poison)} poisonous messages"),
            check("healthy traffic answered", answered, f"{len(before)} before, {len(during)} among poison"),
            check("nobody held up", not suffers, told_so),
        ),
    )


async def _latencies(scene: Scene, asked: LogWatch, told: LogWatch, part: str) -> list[float]:
    """Submit healthy recipes. Returns seconds in the server's clock until their answers, of those answered in time."""
    runs = {f"{scene.drill_id}-{part}{index:02d}" for index in range(_NUM_HEALTHY)}
    for run_id in sorted(runs):
        await scene.ground.bus.publish(SubmitRun(run_id=run_id, recipe={_UNKNOWN: 1}))
        await asyncio.sleep(_PACE_S)
    for watch in (told, asked):
        await watch.until(lambda seen: len(_times(seen, runs)) == len(runs), scene.patience_s)
    began, ended = _times(asked.timeline, runs), _times(told.timeline, runs)
    return [(ended[run_id] - began[run_id]).total_seconds() for run_id in ended]


def _times(timeline: Timeline, runs: set[str]) -> dict[str, datetime]:
    return {item.message.run_id: item.time for item in timeline if item.message.run_id in runs}


async def _readers(bus: Bus) -> dict[str, Readers]:
    """Subjects of message types that are read on purpose, without run id, and who reads them."""
    consumers = {
        each.config.durable_name: tuple(each.config.filter_subjects or [each.config.filter_subject or ">"])
        for each in await bus.connection.jetstream().consumers_info("CONTROL")
        if each.config.durable_name
    }
    return readers_of(consumers)


async def _send(bus: Bus, prefixes: list[str], scene: Scene) -> dict[int, str]:
    """Publish the poison as anybody could, without headers. Returns sequence -> subject without run id."""
    sent: dict[int, str] = {}
    for subject, body in poisons(prefixes, _NUM_POISON, scene.drill_id, scene.ground.options.seed):
        try:
            reply = await bus.connection.request(subject, body, timeout=_SEND_TIMEOUT_S)
        except (nats.errors.Error, TimeoutError):  # not sent for sure, so nothing is asked about it
            continue
        sent[int(json.loads(reply.data)["seq"])] = subject.rpartition(".")[0]
        await asyncio.sleep(_PACE_S)
    return sent


async def _settled(
    scene: Scene, letters_from: int, poison: dict[int, str], readers: dict[str, Readers]
) -> tuple[datetime | None, tuple[str, ...]]:
    """Wait for the letters. Returns when the first one was there, and what is wrong with them in the end."""
    deadline = asyncio.get_running_loop().time() + scene.patience_s
    while True:
        letters = [raw async for raw in scene.ground.bus.raw(">", stream="DLQ", first=letters_from)]
        wrong = letters_wrong(letters, poison, readers)
        if not wrong or asyncio.get_running_loop().time() > deadline:
            return min((raw.time for raw in letters), default=None), wrong
        await asyncio.sleep(_LOOK_S)
