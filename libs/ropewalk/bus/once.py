"""Reading the log so that a message counts once, however often it was published."""

from collections.abc import AsyncIterator
from typing import TypeVar

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message

M = TypeVar("M", bound=Message)


async def once(stored: AsyncIterator[Stored[M]]) -> AsyncIterator[Stored[M]]:
    """The first message of each id. A repetition that came later than the server remembers would rewrite history:
    what was pruned, retired or taken back since would be there again."""
    seen: set[str] = set()
    async for item in stored:
        if item.envelope.id not in seen:
            seen.add(item.envelope.id)
            yield item
