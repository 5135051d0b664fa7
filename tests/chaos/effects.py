"""Effects outside NATS: rows in SQLite that are not idempotent by themselves, one file per run, behind the inbox."""

import sqlite3
from pathlib import Path

from chaos.behaviour import effect_key
from chaos.history import Effect
from chaos.inbox import Inbox

_TABLE = "CREATE TABLE IF NOT EXISTS effect (key TEXT NOT NULL, message_id TEXT NOT NULL, epoch INTEGER NOT NULL)"


def apply_effect(folder: Path, effect: Effect) -> None:
    """Do it, unless it was done for this message before."""

    def insert(database: sqlite3.Connection) -> None:
        database.execute(_TABLE)
        database.execute("INSERT INTO effect VALUES (?, ?, ?)", (effect.key, effect.message_id, effect.epoch))

    run_id = effect.key.split("/")[1]
    Inbox(folder / f"{run_id}.db").once(f"{effect.message_id}/{effect.key}", insert)


def effect_of(stage: str, run_id: str, index: int, message_id: str, epoch: int) -> Effect:
    """One effect of a stage."""
    return Effect(key=effect_key(stage, run_id, index), message_id=message_id, epoch=epoch)


def read_effects(folder: Path) -> list[Effect]:
    """Every effect that ever happened."""
    found: list[Effect] = []
    for path in sorted(folder.glob("*.db")):
        with Inbox(path).transaction() as database:
            database.execute(_TABLE)  # a run may have got no further than an empty file
            rows = database.execute("SELECT key, message_id, epoch FROM effect")
            found += [Effect(key=key, message_id=message_id, epoch=epoch) for key, message_id, epoch in rows]
    return found
