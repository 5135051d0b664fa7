"""Brings the tables of a store to the version that this program knows."""

import logging
from typing import TYPE_CHECKING

from ropewalk.monitor.errors import NewerTablesError
from ropewalk.monitor.schema import bookkeeping, migrations, view_statements

if TYPE_CHECKING:
    from ropewalk.monitor.adapters.clickhouse import ClickHouse  # which migrates what it opens

logger = logging.getLogger(__name__)


async def migrate(store: "ClickHouse") -> None:
    """Apply what was not applied yet, in order, and make the views anew. Raises NewerTablesError.

    A migration counts once its row is written, and its statements may be repeated: the next start makes good what a
    killed one left in the middle, and two monitors of one server may migrate side by side.
    """
    for statement in bookkeeping():
        await store.command(statement)
    [row] = await store.query("SELECT max(version) AS version FROM ropewalk.schema_version")
    present, known = int(row["version"]), migrations()
    if present > len(known):
        raise NewerTablesError(
            f"the tables have version {present} and this program knows versions up to {len(known)}: "
            "start the release that made them, or a newer one"
        )
    for migration in known[present:]:
        for statement in migration.statements:
            await store.command(statement)
        await store.insert("schema_version", [{"version": migration.version, "name": migration.name}])
        logger.info("migrated the tables to version %d (%s)", migration.version, migration.name)
    for statement in view_statements():
        await store.command(statement)
