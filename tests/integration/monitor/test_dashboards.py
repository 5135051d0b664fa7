"""Every SQL query of Grafana's dashboards runs on the tables, and those with rows below them say something."""

from datetime import datetime
from typing import Any

from parts.dashboard_queries import dashboard_queries

from ropewalk.monitor.adapters.clickhouse import ClickHouse
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import REQUESTS


async def test_every_query_of_the_dashboards_runs_and_draws_what_is_stored(store: ClickHouse, make: Any) -> None:
    requests = [make.request(n, status=500 if n == 7 else 200) for n in range(20)]
    await Sink(store, REQUESTS).take(make.packed(requests, size=10))
    asked = list(dashboard_queries())
    assert len(asked) > 10
    for panel, sql, kind in asked:
        rows = await store.query(sql)
        assert rows or "ropewalk.inference" not in sql, panel
        for row in rows:
            numbers = [value for value in row.values() if isinstance(value, int | float)]
            assert kind == "table" or (isinstance(row["time"], datetime) and len(numbers) == 1), panel
