"""Every request and fact of a finished run once more, in another order: nothing may happen again.

A duplicate has the `ce-id` of its original and a message id of its own, since the server would drop a repetition.
State snapshots are not repeated: they are written by compare-and-set, so no delivery can repeat one.
"""

import asyncio
import json
import random
from functools import partial

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import RawMessage
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.log import surely, timeline_of
from ropewalk.drills.scene import Ground, Scene, Target
from ropewalk.drills.scorecard import Observed, check
from ropewalk.drills.scoring import Timeline, reactions
from ropewalk.drills.traffic import letters_about
from ropewalk.events.drill import DrillStarted
from ropewalk.projections.projector import FOLDS, Projector

_DRILLS = f"evt.{DrillStarted.family}."
_NOT_OF_THE_RUN = frozenset({"drill", "monitoring"})  # go on after a run is over, whatever is repeated
_QUIET_LOOKS = 4
_LOOK_S = 0.5
_SEND_TIMEOUT_S = 5.0


async def prepare(ground: Ground) -> Target:
    """The run that was named, or the newest one that was accepted and is over."""
    wanted = ground.options.run_id
    runs = [run for run in await ground.client.runs() if run.run_id == (wanted or run.run_id)]
    if wanted and not runs:
        raise NotPreparedError(f"there is no run {wanted!r} in the log; `ropewalk runs` lists them all")
    over = [run for run in runs if run.is_over and (wanted or run.status != "refused")]
    if not over:
        which = f"run {wanted!r} is not over" if wanted else "no run is over"
        raise NotPreparedError(f"{which}: only of a finished run can be told what its duplicates cause, so wait for it")
    return Target(description=f"every message of run {over[-1].run_id}", run_id=over[-1].run_id)


async def play(scene: Scene) -> Observed:
    """Publish them all again, wait until every consumer is through, compare."""
    bus, run_id = scene.ground.bus, scene.target.run_id
    before = [item for item in await timeline_of(bus, f"*.*.*.*.{run_id}") if item.sequence < scene.mark.sequence]
    originals = [
        raw
        async for raw in bus.raw(f"*.*.*.*.{run_id}", last=scene.mark.sequence)
        if not raw.subject.startswith(("state.", _DRILLS))
    ]
    # Another order: a consumer that takes the newest message for the truth would fall for an old one.
    random.Random(scene.ground.options.seed).shuffle(originals)
    letters_from = await bus.end(stream="DLQ") + 1
    ours = [await _again(bus, raw, f"drill/{scene.drill_id}/{index}") for index, raw in enumerate(originals)]
    scene.ground.say(f"published {len(ours)} messages of run {run_id} again")
    settled = await _settled(bus, scene.patience_s)
    settled_s = await scene.seconds()
    after = await timeline_of(bus, f"*.*.*.*.{run_id}")
    caused = reactions(before, [item for item in after if item.sequence > scene.mark.sequence], set(ours))
    letters = letters_about([raw async for raw in bus.raw(">", stream="DLQ", first=letters_from)], ours)
    differing = _differing(before, after)
    return Observed(
        detect_s=None,
        recover_s=settled_s if settled else None,
        lost_unit="messages",
        doubled=caused,
        checks=(
            check("all were taken", settled, f"{len(ours)} duplicates settled by every consumer"),
            check("none was rejected", not letters, f"{len(letters)} dead letters"),
            check(
                "projections unchanged",
                not differing,
                f"{', '.join(differing)} changed" if differing else f"{', '.join(FOLDS)} read as before",
            ),
        ),
    )


async def _again(bus: Bus, raw: RawMessage, message_id: str) -> int:
    """Publish a copy; returns its sequence in the log."""
    headers = {name: value for name, value in raw.headers.items() if not name.startswith("Nats-")}
    # With its old id the server would drop it as a repetition, and the consumers would never see it.
    headers |= {"Nats-Msg-Id": message_id}
    send = partial(bus.connection.request, raw.subject, raw.body, headers=headers)
    reply = await surely(partial(send, timeout=_SEND_TIMEOUT_S))
    return int(json.loads(reply.data)["seq"])


async def _settled(bus: Bus, patience_s: float) -> bool:
    """Whether every durable consumer of the log came to have nothing left to do, a few looks in a row."""
    deadline = asyncio.get_running_loop().time() + patience_s
    quiet = 0
    while quiet < _QUIET_LOOKS:
        if asyncio.get_running_loop().time() > deadline:
            return False
        consumers = await bus.connection.jetstream().consumers_info("CONTROL")
        busy = [
            each.name for each in consumers if each.config.durable_name and (each.num_pending or each.num_ack_pending)
        ]
        # Several looks in a row: between two deliveries a consumer has nothing to do for a moment.
        quiet = 0 if busy else quiet + 1
        await asyncio.sleep(_LOOK_S)
    return True


def _differing(before: Timeline, after: Timeline) -> list[str]:
    """Which projections of the run read differently now."""
    then, now = Projector(), Projector()
    for projector, timeline in ((then, before), (now, after)):
        for item in timeline:
            if item.message.family not in _NOT_OF_THE_RUN:
                projector.apply(item)
    return [name for name in then.names if then.digest(name) != now.digest(name)]
