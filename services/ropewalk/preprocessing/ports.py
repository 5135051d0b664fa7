"""What preprocessing needs of others, as small as it uses it."""

from typing import Protocol

from ropewalk.bus import once
from ropewalk.events.run import RunAccepted


class Log(once.Log, Protocol):
    """The part of the bus that looks back over all runs."""

    async def last(self, kind: type[RunAccepted], run_id: str) -> RunAccepted | None:
        """The newest message of a type and run."""
        ...
