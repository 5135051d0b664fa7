"""Playing a drill from its precondition to its scorecard in the log and on disk."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from ropewalk.admin.access import MAINTAINER
from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.client.client import Client
from ropewalk.client.settings import find_settings
from ropewalk.drills import kill_worker
from ropewalk.drills.catalogue import find_drill
from ropewalk.drills.crew import Crew, OnThisMachine
from ropewalk.drills.endpoint import EndpointUsers
from ropewalk.drills.files import DrillResult, write_drill
from ropewalk.drills.log import timeline_of
from ropewalk.drills.scene import DrillOptions, Ground, Scene
from ropewalk.drills.scorecard import Observed, conclude
from ropewalk.events.base import Message
from ropewalk.events.drill import DrillStarted
from ropewalk.local.layout import Layout

KILL_WORKER = kill_worker.NAME


async def run_drill(
    name: str,
    layout: Layout,
    options: DrillOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
    crew: Crew | None = None,
) -> DrillResult:
    """Play one drill against the running stack of a state folder, or of a crew. Whatever happens, its fault is undone.

    The scorecard goes to the state folder. Raises UnknownDrillError, NotPreparedError, LocalError, UnreachableError.
    """
    crew = crew or OnThisMachine(layout)
    drill, chosen = find_drill(name), options or DrillOptions()
    crew.keeper.states()  # raises if nothing runs
    async with await Client.connect(find_settings(layout.state_dir, MAINTAINER)) as client:
        ground = Ground(layout=layout, crew=crew, client=client, options=chosen, say=say)
        target = await drill.script.prepare(ground)
        say(f"{name}: {target.description}")
        started = new_drill(name, target.run_id, target.description, chosen.seed)
        async with EndpointUsers(ground, hit=target.service == "serving") as users:
            mark = await begin(client.bus, started)
            seen = await drill.script.play(Scene(ground=ground, target=target, drill_id=started.drill_id, mark=mark))
            # Still inside: the users go on until one of them is answered again.
            seen = replace(seen, checks=(*seen.checks, *await users.judged()))
        return await finish(client.bus, layout, mark, seen)


def new_drill(name: str, run_id: str, target: str, seed: int = 0) -> DrillStarted:
    """The beginning of a drill under a fresh id."""
    drill_id = f"drill-{name}-{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return DrillStarted(run_id=run_id or drill_id, drill_id=drill_id, drill=name, target=target, seed=seed)


async def begin(bus: Bus, started: DrillStarted) -> Stored[Message]:
    """Put the mark into the log from which times are measured. Cause the fault right after it."""
    await bus.publish(started)
    # The log's copy: its time is the server's, and every other time of the scorecard is compared with it.
    return next(
        item
        for item in await timeline_of(bus, started.subject)
        if isinstance(item.message, DrillStarted) and item.message.drill_id == started.drill_id
    )


async def finish(bus: Bus, layout: Layout, mark: Stored[Message], seen: Observed) -> DrillResult:
    """Judge, publish the scorecard, write it down."""
    started = mark.message
    assert isinstance(started, DrillStarted)
    card = conclude(started, seen, first_sequence=mark.sequence, last_sequence=await bus.end())
    await bus.publish(card, cause_id=mark.envelope.id)
    return write_drill(card, mark.time, layout)


async def score_kill_of_worker(client: Client, layout: Layout, run_id: str) -> DrillResult | None:
    """The scorecard of a worker that somebody killed right after `begin`; None if nobody did."""
    timeline = await timeline_of(client.bus, f"*.*.*.*.{run_id}")
    marks = [item for item in timeline if isinstance(item.message, DrillStarted) and item.message.drill == KILL_WORKER]
    if not marks:
        return None
    seen = kill_worker.score(timeline, marks[0], client.settings.store)
    return await finish(client.bus, layout, marks[0], seen)
