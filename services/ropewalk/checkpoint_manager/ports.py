"""What the checkpoint-manager needs of others, as small as it uses it."""

from typing import Protocol, TypeVar

from ropewalk.bus.once import Log
from ropewalk.events.base import Message

M = TypeVar("M", bound=Message)


class Timeline(Log, Protocol):
    """The part of the bus that looks back."""

    async def last(self, kind: type[M], run_id: str) -> M | None:
        """The newest message of a type for a run."""
        ...
