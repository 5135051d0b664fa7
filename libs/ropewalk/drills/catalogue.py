"""Every drill there is, in the order in which `all` plays them."""

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
from ropewalk.drills.scene import Drill

DRILLS: tuple[Drill, ...] = (
    kill_worker.DRILL,
    kill_service.DRILL,
    pause_service.DRILL,
    cut_network.DRILL,
    kill_broker.DRILL,
    fill_disk.DRILL,
    poison.DRILL,
    duplicates.DRILL,
)


def find_drill(name: str) -> Drill:
    """A drill by its name. Raises UnknownDrillError."""
    for drill in DRILLS:
        if drill.name == name:
            return drill
    raise UnknownDrillError(f"there is no drill {name!r}: choose one of {', '.join(drill.name for drill in DRILLS)}")
