"""What the handlers need from the bus."""

from typing import Protocol, TypeVar

from ropewalk.events.base import Message

M = TypeVar("M", bound=Message)


class Timeline(Protocol):
    """What is known of a run."""

    async def last(self, kind: type[M], run_id: str) -> M | None:
        """The newest message of a type for a run."""
        ...
