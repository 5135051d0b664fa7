"""What the monitor needs of a column store. How that can fail is in `errors`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.monitoring import Rebaseline

Row = dict[str, Any]


class Analytics(Protocol):
    """A column store that speaks ClickHouse's SQL. Tables live in the database `ropewalk`."""

    async def command(self, statement: str) -> None:
        """Run a statement without a result."""
        ...

    async def insert(self, table: str, rows: Sequence[Row], *, token: str = "") -> None:
        """Store rows as one block, all or nothing. A block whose token was seen before is dropped."""
        ...

    async def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a SELECT. Parameters are `{name:Type}` in the statement."""
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...


class FactLog(Protocol):
    """What the watch needs of the bus."""

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        """Send one message under an id derived from cause and key."""
        ...

    def read(self, subject_filter: str) -> AsyncIterator[Stored[Message]]:
        """Everything stored now on these subjects."""
        ...


class Watched(Protocol):
    """What a request for a new baseline needs of the watch."""

    async def rebaseline(self, asked: Rebaseline, time: str) -> bool:
        """Take the next requests as the baseline; False if there is nothing such to watch."""
        ...
