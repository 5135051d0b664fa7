"""What a drill is made of, and what it is given: the stack, a client, the options, the mark in the log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.client.client import Client
from ropewalk.drills.crew import Crew
from ropewalk.drills.errors import NotPreparedError
from ropewalk.drills.log import server_time, timeline_of
from ropewalk.drills.scoring import HeldStage, held_stages
from ropewalk.drills.stackview import Instance, answers, process, services
from ropewalk.events.base import Message
from ropewalk.local.layout import Layout


@dataclass(frozen=True, kw_only=True)
class DrillOptions:
    """What the user asked for; everything has a default that the drill chooses.

    `patience_s` bounds each wait. `hold_s` is how long a fault lasts, 0 for as long as the drill thinks right.
    """

    service: str = ""
    run_id: str = ""
    seed: int = 0
    patience_s: float = 180.0
    hold_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a drill stands on."""

    layout: Layout
    crew: Crew
    client: Client
    options: DrillOptions
    say: Callable[[str], None]

    @property
    def bus(self) -> Bus:
        """The bus of the stack."""
        return self.client.bus

    async def now(self) -> datetime:
        """The server's clock."""
        return await server_time(self.bus.connection)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the fault is going to hit. `held` is the stage under way there, if any."""

    description: str
    run_id: str = ""
    service: str = ""
    running: Instance | None = field(default=None, repr=False)
    held: HeldStage | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A drill under way: its id, its mark in the log."""

    ground: Ground
    target: Target
    drill_id: str
    mark: Stored[Message]

    @property
    def instance(self) -> Instance:
        """The process that is hit."""
        assert self.target.running is not None, "this drill has no process as its target"
        return self.target.running

    @property
    def patience_s(self) -> float:
        """How long to wait, at most, for each thing that should happen."""
        return self.ground.options.patience_s

    async def answers(self, pid: int) -> bool:
        """Whether an instance of the service answers a ping within the patience; 0 stands for any instance."""
        return await answers(self.ground.bus.connection, self.target.service, pid, self.patience_s)

    async def seconds(self, since: datetime | None = None) -> float:
        """Seconds of the server's clock since the mark, or since another moment."""
        return (await self.ground.now() - (since or self.mark.time)).total_seconds()


async def choose_service(ground: Ground) -> Target:
    """The service asked for, or the one that holds the newest stage, or a quiet one. Raises NotPreparedError."""
    options, known = ground.options, services(ground.crew.keeper)
    if options.service:
        process(ground.crew.keeper, options.service)
        if options.service not in known:
            raise NotPreparedError(f"{options.service} is no service: choose one of {', '.join(known)}")
    wanted = {options.service} if options.service else set(known)
    timeline = await timeline_of(ground.bus, f"evt.run.*.*.{options.run_id or '*'}")
    held = [each for each in held_stages(timeline) if each.service in wanted]
    if options.run_id and not held:
        who = options.service or "no service"
        does = "does not work" if options.service else "works"
        raise NotPreparedError(
            f"{who} {does} on run {options.run_id!r} now: name a run that is under way (`ropewalk runs`), or no run"
        )
    if not held:
        name = options.service or known[options.seed % len(known)]
        return Target(description=f"{name}, idle", service=name, running=ground.crew.instance(name))
    stage = held[-1]
    return Target(
        description=f"{stage.service}, in stage {stage.stage} of run {stage.run_id}",
        run_id=stage.run_id,
        service=stage.service,
        running=ground.crew.instance(stage.service),
        held=stage,
    )
