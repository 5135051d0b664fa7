"""Dashboards, rules and the collector's configuration: they name what the code exports, and say what to do."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from ropewalk.telemetry.catalogue import METRICS, prometheus_name
from ropewalk.telemetry.names import named

CONFIG = Path("k8s") / "base" / "config"
FROM_PROMETHEUS = {"up", "target_info"}
COMMON_LABELS = {"job", "instance", "le", "service_version"}
NAME = re.compile(r"\b(?:ropewalk|gen_ai)_\w+")
NO_NAMES = re.compile(r"by \([^)]*\)|\{[^}]*\}")  # where labels are
LABELS = re.compile(r"by \(([^)]*)\)|[{,]\s*(\w+)\s*(?:=~|!=|!~|=)\"")


@pytest.fixture(scope="module")
def dashboards(root: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (root / CONFIG / "grafana/dashboards").glob("*.json")}


@pytest.fixture(scope="module")
def rules(root: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load((root / CONFIG / "ropewalk-rules.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def expressions(dashboards: dict[str, dict[str, Any]], rules: list[dict[str, Any]]) -> set[str]:
    """Every PromQL expression of dashboards and rules."""
    shown = {
        target["expr"]
        for board in dashboards.values()
        for panel in board["panels"]
        for target in panel["targets"]
        if target["datasource"]["uid"] == "prometheus"
    }
    return shown | {rule["expr"] for rule in rules}


def exported_names() -> set[str]:
    """Every name of a series that Prometheus gets from the services."""
    plain = {prometheus_name(name) for name in METRICS}
    histograms = {prometheus_name(name) for name, metric in METRICS.items() if metric.kind == "histogram"}
    return plain - histograms | {name + part for name in histograms for part in ("_bucket", "_sum", "_count")}


def measured(root: Path) -> Iterator[str]:
    """The names that the code records, sets or counts."""
    for path in [*(root / "libs").rglob("*.py"), *(root / "services").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
                if node.func.id in ("gauge", "record", "count") and isinstance(first, str) and "." in first:
                    yield first


def test_dashboards_and_rules_name_only_metrics_that_are_exported(expressions: set[str]) -> None:
    named_there = {name for text in expressions for name in NAME.findall(NO_NAMES.sub("", text))}
    assert len(named_there) > 20
    assert named_there - exported_names() == set()


def test_every_metric_that_is_exported_is_shown_or_alarms(expressions: set[str]) -> None:
    used = " ".join(expressions)
    assert {name for name in METRICS if prometheus_name(name) not in used} == set()


def test_dashboards_and_rules_group_and_choose_by_labels_that_exist(expressions: set[str]) -> None:
    found = [match for text in expressions for match in LABELS.findall(text)]
    asked = {word.strip() for grouped, chosen in found for word in (grouped or chosen).split(",")}
    words = {word: 0 for metric in METRICS.values() for word in metric.labels}
    assert asked - {name.replace(".", "_") for name in named(words)} - COMMON_LABELS == set()


def test_the_catalogue_lists_what_the_code_measures_and_nothing_else(root: Path) -> None:
    assert set(measured(root)) == set(METRICS)


def test_no_metric_is_told_apart_by_runs_or_requests() -> None:
    unbounded = {"run_id", "message_id", "checkpoint_id", "response_id", "subject"}
    assert not [name for name, metric in METRICS.items() if unbounded & set(metric.labels)]


def test_our_names_are_those_that_the_stand_in_makes_by_the_rules_of_the_collector(
    root: Path, load_script: Callable[[Path], ModuleType]
) -> None:
    metric_name = load_script(root / "tests/compose/stand_ins/collector/prometheus_text.py").metric_name
    for name, metric in METRICS.items():
        kinds = {"is_counter": metric.kind == "counter", "is_gauge": metric.kind == "gauge"}
        assert metric_name(name, metric.unit, **kinds) == prometheus_name(name)


def test_every_rule_says_what_is_wrong_and_where_to_begin(rules: list[dict[str, Any]]) -> None:
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "do"}


def test_dashboards_are_grafanas_own(dashboards: dict[str, dict[str, Any]], root: Path) -> None:
    provisioned = yaml.safe_load((root / CONFIG / "grafana/provisioning/datasources/ropewalk.yaml").read_text())
    sources = {source["uid"]: source["type"] for source in provisioned["datasources"]}
    assert set(dashboards) == {"overview", "training", "serving", "data", "drift"}
    assert len({board["uid"] for board in dashboards.values()}) == len(dashboards)
    for board in dashboards.values():
        assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])
        used = [panel["datasource"] for panel in board["panels"]]
        assert all(sources[source["uid"]] == source["type"] for source in used)


def test_dashboards_keep_every_field_when_grafanas_schema_reads_them(dashboards: dict[str, dict[str, Any]]) -> None:
    """Its models drop what they do not know, so a misspelt field would be gone."""
    schema = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder").JSONEncoder
    for board in dashboards.values():
        again = json.loads(encoder().encode(schema.Dashboard.from_json(board)))
        assert lost(board, again) == []


def lost(before: Any, after: Any, place: str = "") -> list[str]:
    """Where a value of `before` is missing in `after` or another one."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [found for key, value in before.items() for found in lost(value, after.get(key), f"{place}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [found for index, (one, two) in pairs for found in lost(one, two, f"{place}[{index}]")]
    return [] if before == after else [f"{place}: {before!r} became {after!r}"]
