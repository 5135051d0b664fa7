"""Every message once, whatever happens between insert and acknowledgement."""

import dataclasses

import pytest

from ropewalk.events.run import StageCompleted
from ropewalk.events.serving import RequestLogBatch
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import EVENTS, REQUESTS
from ropewalk.monitor.errors import StoreRefusedError, StoreUnavailableError


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it happens."""


async def ids(store):
    rows = await store.query("SELECT request_id FROM ropewalk.request ORDER BY time")
    return [row["request_id"] for row in rows]


def names(count):
    return [f"request-{number}" for number in range(count)]


async def test_requests_can_be_asked_for_as_soon_as_the_batch_is_taken(store, make):
    await Sink(store, REQUESTS).take(make.packed([make.request(n) for n in range(30)], size=10))
    [row] = await store.query("SELECT count() AS n, sum(completion_tokens) AS tokens FROM ropewalk.inference")
    assert (row["n"], row["tokens"]) == (30, 480)
    [text] = await store.query("SELECT prompt FROM ropewalk.inference_text WHERE request_id = 'request-3'")
    assert text["prompt"] == make.request(3).prompt
    [hour] = await store.query("SELECT requests, errors FROM ropewalk.inference_1h")
    assert (hour["requests"], hour["errors"]) == (30, 0)


async def test_the_same_batch_twice_is_stored_once(store, make):
    items = make.packed([make.request(n) for n in range(20)], size=5)
    sink = Sink(store, REQUESTS)
    await sink.take(items)
    await sink.take(items)
    assert await ids(store) == names(20)


async def test_a_repeated_insert_with_its_token_is_dropped_by_the_store(store, make):
    items = make.packed([make.request(n) for n in range(20)], size=5)
    rows = [row | {"arrival": 1} for item in items for row in REQUESTS.rows(item).stored]
    await store.insert("request", rows, token="a")
    await store.insert("request", rows, token="a")
    assert await ids(store) == names(20)
    await store.insert("request", rows, token="b")
    assert len(await ids(store)) == 40


@pytest.mark.parametrize("cut_before", [3, 7])
@pytest.mark.parametrize("cut_after", [1, 4, 50])
async def test_batches_cut_anew_after_a_crash_double_nothing_and_lose_nothing(store, make, cut_before, cut_after):
    """The crash comes after the second insert and before its acknowledgement."""
    stream = make.Stream(make.packed([make.request(n) for n in range(48)], size=2))
    calls = []

    async def killed_at_the_second():
        calls.append(1)
        if len(calls) == 2:
            raise KilledError

    before = Sink(store, dataclasses.replace(REQUESTS, max_messages=cut_before), after=killed_at_the_second)
    with pytest.raises(KilledError):
        await before.run(stream, 0.1)
    assert len(await ids(store)) == 2 * cut_before * 2, "the crash left an unacknowledged batch in the table"
    assert len(stream.acknowledged) == cut_before
    await Sink(store, dataclasses.replace(REQUESTS, max_messages=cut_after)).run(stream, 0.1)
    assert await ids(store) == names(48)
    assert len(stream.acknowledged) == 24


async def test_newer_messages_before_the_ones_that_come_again_change_nothing(store, make):
    items = make.packed([make.request(n) for n in range(30)], size=3)
    await Sink(store, REQUESTS).take(items[:4])
    after_restart = Sink(store, REQUESTS)
    await after_restart.take(items[7:])
    await after_restart.take(items[2:7])
    assert await ids(store) == names(30)


async def test_a_stream_made_anew_is_not_taken_for_a_repetition(store, make):
    await Sink(store, REQUESTS).take(make.packed([make.request(n) for n in range(10)], size=5))
    anew = [
        dataclasses.replace(item, envelope=dataclasses.replace(item.envelope, id=f"new-{item.sequence}"))
        for item in make.packed([make.request(n) for n in range(10, 20)], size=5)
    ]
    await Sink(store, REQUESTS).take(anew)
    assert await ids(store) == names(20)


async def test_a_bad_row_is_set_aside_with_its_reason_and_blocks_nobody(store, make):
    requests = [make.request(n) for n in range(6)]
    requests[2] = requests[2].model_copy(update={"time": "yesterday"})
    sink = Sink(store, REQUESTS)
    items = make.packed(requests, size=3)
    await sink.take(items)
    assert await ids(store) == [name for name in names(6) if name != "request-2"]
    [rejected] = await store.query("SELECT sequence, row, reason, body FROM ropewalk.rejected FINAL")
    assert (rejected["sequence"], rejected["row"]) == (1, 2)
    assert "yesterday" in rejected["reason"]
    assert "request-2" in rejected["body"]
    await Sink(store, REQUESTS).take(items)
    [count] = await store.query("SELECT count() AS n FROM ropewalk.rejected FINAL")
    assert count["n"] == 1


class PickyStore:
    """Refuses every block that holds one of the requests, as an engine does that cannot read a row."""

    def __init__(self, store, refused):
        self._store, self._refused = store, refused

    async def insert(self, table, rows, *, token=""):
        if any(row.get("request_id") in self._refused for row in rows):
            raise StoreRefusedError("Code: 27. Cannot parse input")
        await self._store.insert(table, rows, token=token)

    async def query(self, statement, parameters=None):
        return await self._store.query(statement, parameters)


async def test_a_message_the_store_refuses_is_found_and_set_aside_alone(store, make):
    items = make.packed([make.request(n) for n in range(40)], size=1)
    await Sink(PickyStore(store, {"request-13", "request-31"}), REQUESTS).take(items)
    assert await ids(store) == [name for name in names(40) if name not in ("request-13", "request-31")]
    rejected = await store.query("SELECT sequence FROM ropewalk.rejected FINAL ORDER BY sequence")
    assert [row["sequence"] for row in rejected] == [14, 32]


class FlakyStore:
    """Stores the rows and then says it is away, so that the outcome of the insert is unknown."""

    def __init__(self, store, times):
        self._store, self._times = store, times

    async def insert(self, table, rows, *, token=""):
        await self._store.insert(table, rows, token=token)
        if self._times > 0:
            self._times -= 1
            raise StoreUnavailableError("timed out")

    async def query(self, statement, parameters=None):
        return await self._store.query(statement, parameters)


async def test_an_insert_of_unknown_outcome_is_repeated_without_a_double(store, make):
    items = make.packed([make.request(n) for n in range(12)], size=4)
    await Sink(FlakyStore(store, 2), REQUESTS).take(items)
    assert await ids(store) == names(12)


async def test_a_missing_table_is_not_taken_for_a_bad_message(store, make):
    """The sink waits for the table; nothing is set aside."""
    items = make.packed([make.request(n) for n in range(4)], size=2)
    sink = Sink(store, REQUESTS)
    await sink.take(items[:1])
    await store.command("RENAME TABLE ropewalk.request TO ropewalk.away")
    with pytest.raises(StoreUnavailableError):
        await sink._store_messages(items[1:])
    await store.command("RENAME TABLE ropewalk.away TO ropewalk.request")
    await sink.take(items[1:])
    assert await ids(store) == names(4)
    assert await store.query("SELECT * FROM ropewalk.rejected") == []


async def test_events_are_rows_and_costs_are_seen_among_them(store, make):
    from ropewalk.events.monitoring import CostRecorded

    stage = StageCompleted(run_id="run-1", stage="train", epoch=1, seconds=2.0, cpu_seconds=3.0)
    cost = CostRecorded(
        run_id="run-1", stage="train", epoch=1, seconds=2.0, cpu_seconds=3.0, usd=0.5, usd_per_cpu_hour=600.0
    )
    items = [make.in_stream(stage, 4), make.in_stream(cost, 9)]
    await Sink(store, EVENTS).take(items)
    assert [row["type"] for row in await store.query("SELECT type FROM ropewalk.event ORDER BY sequence")] == [
        "run.stage_completed",
        "monitoring.cost_recorded",
    ]
    [row] = await store.query("SELECT run_id, stage, usd FROM ropewalk.cost")
    assert row == {"run_id": "run-1", "stage": "train", "usd": 0.5}


async def test_an_empty_batch_of_request_logs_is_taken(store, make):
    await Sink(store, REQUESTS).take([make.in_stream(RequestLogBatch(run_id="run-1", rows=()), 1)])
    assert await ids(store) == []


async def test_a_message_of_bad_rows_only_is_set_aside_at_once_and_said_once(store, make, caplog):
    bad = [make.request(number, time="yesterday", prompt="p" * 20_000) for number in range(100)]
    await Sink(store, REQUESTS).take(make.packed(bad, size=100))
    [count] = await store.query("SELECT count() AS n, max(length(body)) AS longest FROM ropewalk.rejected FINAL")
    assert count["n"] == 100
    said = [record.message for record in caplog.records if "set aside" in record.message]
    assert len(said) == 1
    assert "and 99 more rows of it" in said[0]
