"""Tables that an older monitor made."""

from ropewalk.events.monitoring import SignalState
from ropewalk.events.serving import RequestLog
from ropewalk.events.training import StepMetrics
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import REQUESTS


async def columns(store, table):
    rows = await store.query(f"SELECT name FROM system.columns WHERE database = 'ropewalk' AND table = '{table}'")
    return {row["name"] for row in rows}


async def test_a_column_that_an_older_folder_lacks_is_added_and_filled(open_store, make):
    first = await open_store()
    await Sink(first, REQUESTS).take(make.packed([make.request(0)], size=1))
    for view in ("inference", "inference_text", "inference_1h"):
        await first.command(f"DROP VIEW ropewalk.{view}")
    await first.command("ALTER TABLE ropewalk.request DROP COLUMN logprob_mean")
    await first.command("ALTER TABLE ropewalk.request DROP COLUMN finish_reason")
    await first.close()
    second = await open_store()
    await Sink(second, REQUESTS).take(make.packed([make.request(0), make.request(1)], size=1))
    rows = await second.query("SELECT logprob_mean, finish_reason FROM ropewalk.inference ORDER BY request_id")
    assert [(row["logprob_mean"], row["finish_reason"]) for row in rows] == [
        (0.0, ""),
        (make.request(1).logprob_mean, "length"),
    ]
    tables = await second.query("SELECT name FROM system.tables WHERE database = 'ropewalk' AND name LIKE '%declared'")
    assert tables == []
    await second.close()


async def test_a_folder_is_opened_again_and_again_without_a_change(open_store):
    seen = []
    for _ in range(2):
        store = await open_store()
        seen.append({each: await columns(store, each) for each in ("request", "watch_state", "signal_state", "event")})
        await store.close()
    assert seen[0] == seen[1]
    assert "saved_at" in seen[0]["watch_state"]


async def test_every_field_of_a_packed_row_has_its_column(store):
    assert set(RequestLog.model_fields) <= await columns(store, "request")
    assert set(SignalState.model_fields) <= await columns(store, "signal_state")
    assert set(StepMetrics.model_fields) - {"time_unix"} <= await columns(store, "train_step")


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
