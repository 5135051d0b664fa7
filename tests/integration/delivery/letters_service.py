"""A service with two consumers of one subject, of which one rejects until a file says that its cause is gone, and
one consumer of a type in its second major version.

Started as a process by the tests. Every call of a handler is a line in a file of its name.
"""

import asyncio
from pathlib import Path

from evolved_type import ShelfCleared, register

from ropewalk.admin.topology import apply_topology
from ropewalk.delivery.outcome import Done, Outcome, Reject
from ropewalk.events.checkpoint import CheckpointPruned
from ropewalk.events.contract import Reaction
from ropewalk.events.run import StageCompleted, StageInterrupted, StageStarted
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings


class Handlers:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def fragile(self, event: CheckpointPruned) -> Outcome:
        self.note("fragile", event)
        if not (self.folder / "healed").exists() and event.uri == "poison":
            return Reject("the shelf is full: make room")
        return Done((StageInterrupted(run_id=event.run_id, stage="fragile", epoch=0, cause="pruned"),))

    async def sturdy(self, event: CheckpointPruned) -> Outcome:
        self.note("sturdy", event)
        return Done((StageStarted(run_id=event.run_id, stage="sturdy", epoch=0),))

    async def cleared(self, event: ShelfCleared) -> Outcome:
        if not (self.folder / "healed").exists() and event.seconds > 60:
            return Reject("nobody clears a shelf for so long")
        return Done((StageCompleted(run_id=event.run_id, stage=event.shelf, epoch=0, seconds=event.seconds),))

    def note(self, name: str, event: CheckpointPruned) -> None:
        with (self.folder / name).open("a") as file:
            file.write(f"{event.run_id}\n")


def the_service(settings: RuntimeSettings) -> Service:
    """Both handlers get the same message."""
    service = Service("letters", settings)
    handlers = Handlers(settings.state_dir)
    service.on(Reaction("fragile", CheckpointPruned), handlers.fragile)
    service.on(Reaction("sturdy", CheckpointPruned), handlers.sturdy)
    service.on(Reaction("cleared", ShelfCleared), handlers.cleared)
    return service


if __name__ == "__main__":
    register()
    the_one = the_service(RuntimeSettings())
    asyncio.run(apply_topology(the_one.settings.nats, the_one.consumers()))
    the_one.run()
