"""One run of the stack: its trace at the collector, its numbers in Prometheus, and all of it after a restart."""

import time
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from compose.containers import docker
from parts.compose_stack import ComposeStack
from parts.traces import Span, orphans, spans_in

from ropewalk.client import clickhouse
from ropewalk.events.run import RunCompleted
from ropewalk.events.serving import TrafficShifted
from ropewalk.local.names import SERVICES
from ropewalk.telemetry.spans import traceparent_of_run

pytestmark = pytest.mark.stack

RUN = "compose-traced"
EXPORTED_WITHIN_S = 90.0  # batches of spans, and a look of Prometheus every 15 s


@pytest.fixture(scope="module")
def model(stack: ComposeStack) -> str:
    """What the run promoted."""
    stack.submit({"base": "python-stdlib-tiny", "trials": 1, "promotion": {"model": "traced"}}, RUN)
    assert stack.until(RUN, RunCompleted).outcome == "promoted"
    return stack.until(RUN, TrafficShifted).model


def traces(stack: ComposeStack, folder: Path) -> list[Span]:
    """What the collector has written."""
    (container,) = stack.project.containers("otel-collector")
    docker("cp", f"{container}:/var/lib/otelcol", str(folder))
    return list(spans_in((folder / "otelcol").glob("traces*.jsonl*")))


def test_the_run_is_one_trace_over_all_services(stack: ComposeStack, model: str, tmp_path: Path) -> None:
    trace_id = traceparent_of_run(RUN).split("-")[1]
    deadline = time.monotonic() + EXPORTED_WITHIN_S
    seen: set[str] = set()
    while not seen >= set(SERVICES) and time.monotonic() < deadline:
        folder = tmp_path / str(time.monotonic())
        folder.mkdir()
        spans = [span for span in traces(stack, folder) if span.trace_id == trace_id]
        seen = {span.service.removeprefix("ropewalk/") for span in spans}
        time.sleep(2)
    assert seen >= set(SERVICES)
    assert orphans(spans) == []


def test_prometheus_has_the_numbers_of_all_services(stack: ComposeStack, model: str) -> None:
    url = f"http://127.0.0.1:{stack.told['ROPEWALK_PORT_PROMETHEUS']}/api/v1/query"
    deadline = time.monotonic() + EXPORTED_WITHIN_S
    jobs: set[str] = set()
    while not jobs >= set(SERVICES) and time.monotonic() < deadline:
        answer = httpx.get(url, params={"query": "ropewalk_service_heartbeat_seconds"}, trust_env=False).json()
        jobs = {each["metric"]["job"].removeprefix("ropewalk/") for each in answer["data"]["result"]}
        time.sleep(2)
    assert jobs >= set(SERVICES)


def test_a_restart_of_everything_keeps_the_model_and_the_rows(stack: ComposeStack, model: str) -> None:
    assert answers(stack, model)
    before = rows(stack, model, at_least=1)
    stack.down()
    stack.up()
    deadline = time.monotonic() + 120
    while not answers(stack, model):
        assert time.monotonic() < deadline, stack.project.states()
        time.sleep(1)
    assert rows(stack, model, at_least=before + 1) > before
    assert len([fact for fact in stack.timeline(RUN) if isinstance(fact, RunCompleted)]) == 1


def answers(stack: ComposeStack, model: str) -> bool:
    return stack.ropewalk("complete", "def add(", "--model", model, "--max-tokens", "4").returncode == 0


def rows(stack: ComposeStack, model: str, at_least: int) -> int:
    client = clickhouse_connect.get_client(**clickhouse(stack.settings))
    sql = "SELECT count() FROM ropewalk.inference WHERE model = {model:String} AND status = 200"
    deadline = time.monotonic() + 60
    while (found := client.query(sql, parameters={"model": model}).result_rows[0][0]) < at_least:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    client.close()
    return int(found)
