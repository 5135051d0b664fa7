"""Tables grow: what an older release stored stays, what is new is added, and a start may be killed anywhere."""

import asyncio
from pathlib import Path

import pytest

from ropewalk.events.label import LabelGiven, LabelWithdrawn
from ropewalk.events.monitoring import SignalState
from ropewalk.events.score import ScoreBatch, ScoredItem
from ropewalk.events.serving import RequestLog
from ropewalk.events.training import StepMetrics
from ropewalk.monitor.adapters.clickhouse import connect_embedded
from ropewalk.monitor.adapters.migrating import migrate
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import REQUESTS
from ropewalk.monitor.errors import NewerTablesError
from ropewalk.monitor.schema import migrations

LAST_RELEASE = (Path(__file__).parent / "release_1.sql").read_text()
NEWEST = len(migrations())


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it happens."""


class Mortal:
    """The store, which lives for so many statements and inserts."""

    def __init__(self, store, left):
        self._store, self._left = store, left

    def _live(self):
        self._left -= 1
        if self._left < 0:
            raise KilledError

    async def command(self, statement):
        self._live()
        await self._store.command(statement)

    async def insert(self, table, rows, *, token=""):
        self._live()
        await self._store.insert(table, rows, token=token)

    async def query(self, statement, parameters=None):
        return await self._store.query(statement, parameters)


@pytest.fixture
async def last_release(tmp_path, make):
    """A folder as the last release left it, open and not yet migrated, with two requests in it."""
    store = await connect_embedded(tmp_path / "store")
    for statement in LAST_RELEASE.split(";\n"):
        await store.command(statement)
    for number, model_version in ((0, 1), (1, 0)):
        row = make.request(number, model_version=model_version).model_dump(exclude={"backend"})
        place = {"message_id": f"m{number}", "sequence": number, "row": 0, "arrival": 1}
        await store.insert("request", [row | place | {"time": row["time"].removesuffix("Z").replace("T", " ")}])
    yield store
    await store.close()


@pytest.fixture
async def store(open_store):
    """A store of its own: a process has one open at a time, and others here open theirs."""
    opened = await open_store()
    yield opened
    await opened.close()


async def columns(store, table):
    rows = await store.query(f"SELECT name FROM system.columns WHERE database = 'ropewalk' AND table = '{table}'")
    return {row["name"] for row in rows}


async def versions(store):
    return [row["version"] for row in await store.query("SELECT version FROM ropewalk.schema_version ORDER BY version")]


async def backends(store):
    rows = await store.query("SELECT request_id, backend FROM ropewalk.inference ORDER BY request_id")
    return {row["request_id"]: row["backend"] for row in rows}


async def test_the_folder_of_the_last_release_keeps_its_rows_and_gets_the_new_column(last_release, make):
    assert "backend" not in await columns(last_release, "request")
    await migrate(last_release)
    assert await versions(last_release) == list(range(1, NEWEST + 1))
    new = [make.request(2, backend="upstream"), make.request(3, backend="", status=404)]
    await Sink(last_release, REQUESTS).take(make.packed(new, size=2, first_sequence=7))
    assert await backends(last_release) == {
        "request-0": "triton", "request-1": "", "request-2": "upstream", "request-3": ""
    }  # fmt: skip


async def test_a_start_that_is_killed_after_any_statement_is_made_good_by_the_next(last_release):
    lived = 0
    while True:
        try:
            await migrate(Mortal(last_release, lived))
            break
        except KilledError:
            lived += 1
    assert lived > max(len(migration.statements) for migration in migrations())
    assert await versions(last_release) == list(range(1, NEWEST + 1))
    assert await backends(last_release) == {"request-0": "triton", "request-1": ""}


async def test_two_monitors_may_migrate_side_by_side(last_release):
    await asyncio.gather(migrate(last_release), migrate(last_release))
    assert set(await versions(last_release)) == set(range(1, NEWEST + 1))
    assert await backends(last_release) == {"request-0": "triton", "request-1": ""}


async def test_a_folder_of_a_newer_release_is_refused_in_one_sentence_and_left_as_it_is(open_store, tmp_path):
    store = await open_store()
    await store.insert("schema_version", [{"version": NEWEST + 1, "name": "of_tomorrow"}])
    await store.command("DROP VIEW ropewalk.inference")
    await store.close()
    with pytest.raises(NewerTablesError, match=f"have version {NEWEST + 1} and this program knows versions up to"):
        await open_store()
    untouched = await connect_embedded(tmp_path / "store")
    assert await untouched.query("EXISTS VIEW ropewalk.inference") == [{"result": 0}]
    await untouched.close()


async def test_a_folder_is_opened_again_and_again_without_a_change(open_store):
    seen = []
    for _ in range(2):
        store = await open_store()
        seen.append(await store.query("SELECT table, name, type FROM system.columns WHERE database = 'ropewalk'"))
        seen[-1] += await store.query("SELECT * FROM ropewalk.schema_version")
        await store.close()
    assert seen[0] == seen[1]


def test_migrations_are_numbered_without_a_gap():
    assert [migration.version for migration in migrations()] == list(range(1, NEWEST + 1))


async def test_every_field_of_a_packed_row_has_its_column(store):
    assert set(RequestLog.model_fields) <= await columns(store, "request")
    of_scores = {*ScoreBatch.model_fields, *ScoredItem.model_fields, "cluster_key"} - {"scores", "cluster"}
    assert of_scores <= await columns(store, "scored_item")
    assert {*LabelGiven.model_fields, *LabelWithdrawn.model_fields} - {"run_id"} <= await columns(store, "label_said")
    assert set(SignalState.model_fields) <= await columns(store, "signal_state")
    assert set(StepMetrics.model_fields) - {"time_unix"} <= await columns(store, "train_step")


async def test_every_table_lets_merges_remove_their_parts_themselves(store):
    rows = await store.query(
        "SELECT name FROM system.tables WHERE database = 'ropewalk' AND engine LIKE '%MergeTree' "
        "AND NOT create_table_query LIKE '%max_parts_to_merge_at_once = 10%'"
    )
    assert rows == []


async def test_the_engines_own_database_which_takes_files_for_tables_is_shut_at_every_start(open_store, tmp_path):
    known = tmp_path / "known.csv"
    known.write_text("1,2\n")
    for _ in range(3):
        store = await open_store()
        assert await store.query(f"EXISTS TABLE default.`{known}`") == [{"result": 0}]
        assert await store.query("SELECT name, engine FROM system.databases WHERE name = 'default'") == [
            {"name": "default", "engine": "Memory"}
        ]
        await store.close()
