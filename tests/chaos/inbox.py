"""Effects outside NATS, once per message: the id of the message is stored in the transaction that does the effect.

A message is delivered at least once. Effects on the bus stay single because ids are derived and states are compared;
an effect in a database of our own stays single with this inbox. It is a file that several processes may share.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

_PATIENCE_S = 30.0  # others may hold the file, also one that is stopped for a while


class Inbox:
    """The messages whose effects are done, and the tables of those effects, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def once(self, message_id: str, effect: Callable[[sqlite3.Connection], object]) -> bool:
        """Do `effect` on the open transaction unless it was done for this message. Returns whether it was done now.

        If it raises, nothing has happened. It must not commit by itself (`executescript` does). This blocks: call it
        with `asyncio.to_thread`.
        """
        with self.transaction() as database:
            database.execute("CREATE TABLE IF NOT EXISTS inbox (message_id TEXT PRIMARY KEY) WITHOUT ROWID")
            new = database.execute("INSERT OR IGNORE INTO inbox VALUES (?)", (message_id,)).rowcount == 1
            if new:
                effect(database)
            return new

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that excludes every other; on the disk when the block ends well, undone if it raises."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=_PATIENCE_S, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
