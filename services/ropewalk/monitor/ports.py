"""What the monitor needs of a column store. How that can fail is in `errors`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ropewalk.monitor.domain.rows import Row


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
