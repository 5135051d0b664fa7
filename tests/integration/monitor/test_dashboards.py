"""Every SQL query of Grafana's dashboards runs on the tables, and those with rows below them say something."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ropewalk.monitor.adapters.clickhouse import ClickHouse
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import REQUESTS

FOLDER = Path(__file__).parents[3] / "k8s" / "base" / "config" / "grafana" / "dashboards"
MACRO = re.compile(r"\$__timeFilter\((\w+)\)")
RANGE = r"(\1 >= now() - INTERVAL 1 DAY AND \1 <= now() + INTERVAL 1 DAY)"  # as the plugin writes it


def queries() -> Iterator[tuple[str, str, str]]:
    """Dashboard and panel, the SQL, and what Grafana draws of it."""
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if "rawSql" in target:
                    yield f"{path.stem}: {panel['title']}", target["rawSql"], target["queryType"]


async def test_every_query_of_the_dashboards_runs_and_draws_what_is_stored(store: ClickHouse, make: Any) -> None:
    requests = [make.request(n, status=500 if n == 7 else 200) for n in range(20)]
    await Sink(store, REQUESTS).take(make.packed(requests, size=10))
    asked = list(queries())
    assert len(asked) > 10
    for panel, sql, kind in asked:
        rows = await store.query(MACRO.sub(RANGE, sql))
        assert rows or "ropewalk.inference" not in sql, panel
        for row in rows:
            numbers = [value for value in row.values() if isinstance(value, int | float)]
            assert kind == "table" or (isinstance(row["time"], datetime) and len(numbers) == 1), panel
