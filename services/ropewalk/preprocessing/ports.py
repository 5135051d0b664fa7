"""What preprocessing needs of others, as small as it uses it."""

from collections.abc import AsyncIterator
from typing import Protocol

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.run import RunAccepted


class Log(Protocol):
    """The part of the bus that looks back over all runs."""

    def read(self, subject_filter: str) -> AsyncIterator[Stored[Message]]:
        """Everything stored now, oldest first."""
        ...

    async def last(self, kind: type[RunAccepted], run_id: str) -> RunAccepted | None:
        """The newest message of a type and run."""
        ...
