"""The SQL of Grafana's dashboards, as Grafana would send it for the last day."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "k8s" / "base" / "config" / "grafana" / "dashboards"
MACRO = re.compile(r"\$__timeFilter\((\w+)\)")
RANGE = r"(\1 >= now() - INTERVAL 1 DAY AND \1 <= now() + INTERVAL 1 DAY)"  # as the plugin writes it


def dashboard_queries() -> Iterator[tuple[str, str, str]]:
    """Dashboard and panel, the SQL, and what Grafana draws of it."""
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if "rawSql" in target:
                    yield f"{path.stem}: {panel['title']}", MACRO.sub(RANGE, target["rawSql"]), target["queryType"]
