"""Every drill there is, in the order in which `all` plays them."""

from dataclasses import dataclass
from typing import Protocol

from ropewalk.drills import (
    cut_network,
    duplicates,
    fill_disk,
    kill_broker,
    kill_service,
    kill_worker,
    pause_service,
    poison,
)
from ropewalk.drills.errors import UnknownDrillError
from ropewalk.drills.scene import Ground, Scene, Target
from ropewalk.drills.scorecard import Observed


class Script(Protocol):
    """The module of a drill."""

    async def prepare(self, ground: Ground) -> Target:
        """Check the preconditions and choose a target. Raises NotPreparedError."""
        ...

    async def play(self, scene: Scene) -> Observed:
        """Cause the fault, undo it, and say what was seen."""
        ...


@dataclass(frozen=True)
class Drill:
    """A drill as people know it."""

    name: str
    script: Script
    summary: str


DRILLS = (
    Drill(kill_worker.NAME, kill_worker, "kill -9 of one training worker of a run that is in training"),
    Drill("kill-service", kill_service, "kill -9 of a service, while it holds a stage if one is under way"),
    Drill(
        "pause-service",
        pause_service,
        "SIGSTOP of a service for longer than its lease lives, then SIGCONT: the zombie must be fenced off",
    ),
    Drill(
        "cut-network",
        cut_network,
        "the network between an instance of a service and the broker swallows every byte",
    ),
    Drill("kill-broker", kill_broker, "kill -9 of nats-server while messages are being published"),
    Drill("fill-disk", fill_disk, "the broker's disk is full for a while (only on a small file system made for it)"),
    Drill("poison", poison, "unreadable messages among healthy ones, on every subject that somebody reads"),
    Drill(
        "duplicate-everything",
        duplicates,
        "every request and fact of a finished run is published again in another order",
    ),
)


def find_drill(name: str) -> Drill:
    """A drill by its name. Raises UnknownDrillError."""
    for drill in DRILLS:
        if drill.name == name:
            return drill
    raise UnknownDrillError(f"there is no drill {name!r}: choose one of {', '.join(drill.name for drill in DRILLS)}")
