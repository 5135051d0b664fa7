"""Reading the log so that a message counts once, however often it was published, and is read once, too."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, Protocol, TypeVar

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message

M = TypeVar("M", bound=Message)
S = TypeVar("S")


class Log(Protocol):
    """The part of the bus that looks back."""

    async def end(self) -> int:
        """The sequence of the newest message now."""
        ...

    def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Stored[Message]]:
        """Everything stored now behind sequence `after`, oldest first."""
        ...


class Timeline(Log, Protocol):
    """What handlers ask of the log before they decide."""

    async def last(self, kind: type[M], entity: str) -> M | None:
        """The newest message of a type about a run, or about what else the type is about."""
        ...


async def once(stored: AsyncIterator[Stored[M]]) -> AsyncIterator[Stored[M]]:
    """The first message of each id. A repetition that came later than the server remembers would rewrite history:
    what was pruned, retired or taken back since would be there again."""
    seen: set[str] = set()
    async for item in stored:
        if item.envelope.id not in seen:
            seen.add(item.envelope.id)
            yield item


class RunningFold(Generic[S]):
    """A state that follows from the log alone and goes on from where it was: a decision reads what is new since then.

    The first look reads all that is stored on `subjects`. `add` takes one message into the state, in the order of the
    log; of a message that was published twice it sees the first.
    """

    def __init__(self, state: S, add: Callable[[S, Stored[Message]], None], *subjects: str) -> None:
        self._state = state
        self._add = add
        self._subjects = subjects
        self._after = 0
        self._seen: set[str] = set()
        self._turn = asyncio.Lock()

    async def now(self, log: Log) -> S:
        """The state after everything that is stored now. It is shared: who wants to change it copies it."""
        async with self._turn:
            end = await log.end()  # the subjects are read one after the other, and all of them only up to here
            new = [item for each in self._subjects async for item in log.read(each, after=self._after)]
            for item in sorted(new, key=lambda item: item.sequence):
                if item.sequence <= end and item.envelope.id not in self._seen:
                    self._seen.add(item.envelope.id)
                    self._add(self._state, item)
            self._after = end
            return self._state
