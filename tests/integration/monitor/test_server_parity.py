"""chDB in the process and a ClickHouse server over HTTP answer alike: tables, views, repeated inserts, every query.

The server is that of ROPEWALK_TEST_CLICKHOUSE_URL if there is one, else the stand-in.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from parts.clickhouse_server import GIVEN, StandIn
from parts.dashboard_queries import dashboard_queries

from ropewalk.client.queries import named_queries
from ropewalk.events.monitoring import AlarmRaised, CostRecorded, SignalsComputed, SignalState
from ropewalk.events.training import StepMetrics, StepMetricsBatch
from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.clickhouse import ClickHouse, connect_embedded, open_server
from ropewalk.monitor.adapters.embedded import ceilings
from ropewalk.monitor.adapters.migrating import migrate
from ropewalk.monitor.adapters.readers import admit
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import EVENTS, LABELS, REQUESTS, SCORES, SIGNALS, STEPS

LAST_RELEASE = (Path(__file__).parent / "release_1.sql").read_text()
_NOW = datetime.now(UTC)
NOW = _NOW.isoformat(timespec="milliseconds")
READER = Account(user="ropewalk", password="it's a reader")
LOADED = ("request", "train_step", "event", "signal_state", "scored_item", "label_said")


@pytest.fixture(scope="module")
def server_url(tmp_path_factory):
    if GIVEN:
        yield GIVEN
        return
    server = StandIn(tmp_path_factory.mktemp("server"))
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
async def both(server_url, tmp_path):
    """The engine in this process and the server, the latter without our database at the beginning and the end."""
    server = await open_server(server_url)
    embedded = await connect_embedded(tmp_path / "store")
    await server.command("DROP DATABASE ropewalk")
    yield embedded, server
    await server.command("DROP DATABASE ropewalk")
    for store in (embedded, server):
        await store.close()


async def definitions(store: ClickHouse):
    """What SHOW CREATE says of every table and view."""
    return await store.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = 'ropewalk' ORDER BY name"
    )


async def as_the_last_release_left_it(store: ClickHouse, make):
    """Its tables, with a row in each of two."""
    for statement in filter(str.strip, LAST_RELEASE.split(";\n")):
        await store.command(statement)
    row = make.request(1_000).model_dump(exclude={"backend"})
    place = {"message_id": "old", "sequence": 0, "row": 0, "arrival": 1}
    await store.insert("request", [row | place | {"time": row["time"].removesuffix("Z").replace("T", " ")}])


def messages(make):
    """Of every feed: its messages as they lie in the stream."""
    requests = [make.request(n, status=500 if n % 9 == 0 else 200, model_version=n % 2) for n in range(60)]
    step = {"attempt": 1, "grad_norm": 1.0, "lr": 0.01, "tokens": 512}
    step |= {"step_s": 0.1, "data_s": 0.0, "checkpoint_s": 0.0}
    now = _NOW.timestamp()
    steps = tuple(StepMetrics(step=n, loss=3.0 - n / 50, time_unix=now + n, **step) for n in range(50))
    of_version = {"run_id": "run-1", "model": "python-stdlib", "model_version": 1}
    alarm = AlarmRaised(
        **of_version, alarm_id="a-1", signal="latency", changed_at=NOW, detected_at=NOW, num_requests=60,
        statistic=2.0, threshold=1.0, false_alarm_rate=1e-5, baseline_mean=1.0, current_mean=2.0, detail="slower",
    )  # fmt: skip
    cost = CostRecorded(
        run_id="run-1", stage="train", epoch=1, seconds=6.0, cpu_seconds=9.0, usd=0.1, usd_per_cpu_hour=0.04
    )
    states = SignalsComputed(
        **of_version, time=NOW, num_requests=60, signals=(SignalState(signal="latency", statistic=0.5, threshold=9.0),)
    )
    labels = (make.label(1), make.label(1, taken_back=True), make.label(2))
    return (
        (REQUESTS, make.packed(requests, size=10)),
        (STEPS, [make.in_stream(StepMetricsBatch(run_id="run-1", rows=steps), 1)]),
        (EVENTS, [make.in_stream(alarm, 1), make.in_stream(cost, 2)]),
        (SIGNALS, [make.in_stream(states, 1)]),
        (SCORES, [make.in_stream(make.scores(scorer), at) for at, scorer in enumerate(("candidate", "production"), 1)]),
        (LABELS, [make.in_stream(each, at) for at, each in enumerate(labels, 1)]),
    )


async def fill(store: ClickHouse, make):
    """All messages twice, the second time by a sink that has forgotten; and one insert repeated with its token."""
    for feed, items in messages(make):
        for _ in range(2):
            await Sink(store, feed).take(items)
    row = {"time": "2026-03-01 12:00:00.250", "run_id": "run-2", "step": 1, "loss": 2.5, "sequence": 9}
    for _ in range(3):
        await store.insert("train_step", [row], token="parity: the same")


@pytest.mark.parametrize("beginning", ["nothing", "the last release"])
async def test_the_server_has_the_tables_and_gives_the_answers_of_the_engine_in_the_process(both, make, beginning):
    for store in both:
        if beginning == "the last release":
            await as_the_last_release_left_it(store, make)
        await migrate(store)
        await fill(store, make)
    embedded, server = both
    assert await definitions(server) == await definitions(embedded)
    counted = [await server.query(f"SELECT count() AS n FROM ropewalk.{table}") for table in LOADED]
    old = beginning == "the last release"
    assert [row["n"] for [row] in counted] == [60 + old, 51, 2, 1, 6, 3], "each once"
    asked = {query.name: query.sql for query in named_queries()} | {name: sql for name, sql, _ in dashboard_queries()}
    views = await embedded.query("SELECT name FROM system.tables WHERE database = 'ropewalk' AND engine = 'View'")
    asked |= {row["name"]: f"SELECT * FROM ropewalk.{row['name']} ORDER BY ALL" for row in views}
    empty = []
    for name, sql in asked.items():
        rows = await embedded.query(sql)
        assert await server.query(sql) == rows, name
        empty += [] if rows else [name]
    assert {"item_scores", "labels", "label", "item_score"}.isdisjoint(empty)
    assert {"latency_percentiles", "loss_curve", "cost_by_stage", "alarms", "signals", "inference_1h"}.isdisjoint(empty)


async def test_the_reader_that_the_monitor_makes_reads_every_table_and_nothing_else(both, server_url, make):
    _, server = both
    await migrate(server)
    await fill(server, make)
    for _ in range(2):
        await admit(server, (READER, Account(user="nobody", password="")), ceilings(60, 1024))
    parts = urlsplit(server_url)

    def ask(sql, **options):
        address = f"{parts.scheme}://{parts.hostname}:{parts.port}"
        return httpx.post(address, content=sql, auth=(READER.user, READER.password), **options)

    for query in named_queries():
        answer = await asyncio.to_thread(ask, query.sql, params={"default_format": "JSONCompact"})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) == len(await server.query(query.sql)), query.name
    assert ask("SELECT count() FROM inference").text == "60\n", "its database is ropewalk"
    for refused in (
        "INSERT INTO ropewalk.train_step (step) VALUES (1)",
        "DROP TABLE ropewalk.request",
        "CREATE USER other IDENTIFIED BY 'x'",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS max_memory_usage = 10000000000",
    ):
        assert ask(refused).status_code != 200, refused
    await server.command("DROP USER ropewalk")
    assert ask("SELECT 1").status_code in (401, 403)
