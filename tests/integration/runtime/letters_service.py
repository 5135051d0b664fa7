"""A service with two consumers of one subject, of which one rejects until a file says that its cause is gone.

Started as a process by the tests. Every call of a handler is a line in a file of its name.
"""

from pathlib import Path

from ropewalk.events.checkpoint import CheckpointPruned
from ropewalk.events.run import StageInterrupted, StageStarted
from ropewalk.runtime.outcome import Done, Outcome, Reject
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

    def note(self, name: str, event: CheckpointPruned) -> None:
        with (self.folder / name).open("a") as file:
            file.write(f"{event.run_id}\n")


def the_service(settings: RuntimeSettings) -> Service:
    service = Service("letters", settings)
    handlers = Handlers(settings.state_dir)
    service.on(CheckpointPruned, handlers.fragile, purpose="fragile")
    service.on(CheckpointPruned, handlers.sturdy, purpose="sturdy")
    return service


if __name__ == "__main__":
    the_service(RuntimeSettings()).run()
