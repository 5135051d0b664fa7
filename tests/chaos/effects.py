"""Effects outside NATS: rows in SQLite that are not idempotent by themselves, one file per run.

The message that an effect follows from is noted in the same transaction, so a repetition is recognised.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from chaos.behaviour import effect_key
from chaos.history import Effect

_SCHEMA = """
CREATE TABLE IF NOT EXISTS inbox (message_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS effect (key TEXT NOT NULL, message_id TEXT NOT NULL, epoch INTEGER NOT NULL);
"""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction; others wait for it, also for a holder that is stopped for a while."""
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
        database.executescript(_SCHEMA)
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")


def apply_effect(folder: Path, effect: Effect) -> None:
    """Do it, unless it was done for this message before."""
    run_id = effect.key.split("/")[1]
    with _opened(folder / f"{run_id}.db") as database:
        message_id = f"{effect.message_id}/{effect.key}"
        if database.execute("INSERT OR IGNORE INTO inbox VALUES (?)", (message_id,)).rowcount:
            database.execute("INSERT INTO effect VALUES (?, ?, ?)", (effect.key, effect.message_id, effect.epoch))


def effect_of(stage: str, run_id: str, index: int, message_id: str, epoch: int) -> Effect:
    """One effect of a stage."""
    return Effect(key=effect_key(stage, run_id, index), message_id=message_id, epoch=epoch)


def read_effects(folder: Path) -> list[Effect]:
    """Every effect that ever happened."""
    found: list[Effect] = []
    for path in sorted(folder.glob("*.db")):
        with _opened(path) as database:
            rows = database.execute("SELECT key, message_id, epoch FROM effect")
            found += [Effect(key=key, message_id=message_id, epoch=epoch) for key, message_id, epoch in rows]
    return found
