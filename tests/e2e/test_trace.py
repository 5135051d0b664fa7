"""One run is one trace over all seven services, in which every parent is there, although services were killed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.traces import Span, orphans, spans_in

from ropewalk.events.run import RunCompleted
from ropewalk.events.training import TrainingStarted
from ropewalk.local.names import SERVICES
from ropewalk.telemetry.spans import traceparent_of_run

pytestmark = [
    pytest.mark.stack,
    pytest.mark.embedded("tests/compose/test_telemetry.py looks at the trace of a run in containers"),
]

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests" / "compose" / "stand_ins" / "collector" / "collector.py"
CONFIG = ROOT / "k8s" / "base" / "config" / "otel-collector.yaml"


def free_ports(*instead_of: int) -> dict[int, int]:
    with contextlib.ExitStack() as probes:
        found = {port: probes.enter_context(socket.socket()) for port in instead_of}
        for probe in found.values():
            probe.bind(("127.0.0.1", 0))
        return {port: probe.getsockname()[1] for port, probe in found.items()}


class Collector:
    """The stand-in for the collector, with the configuration of the container profiles on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(4318, 8889, 13133)
        text = CONFIG.read_text().replace("/var/lib/otelcol", str(folder))
        for inner, outer in ports.items():
            text = text.replace(f"0.0.0.0:{inner}", f"127.0.0.1:{outer}")
        (folder / "config.yaml").write_text(text)
        self.endpoint = f"http://127.0.0.1:{ports[4318]}"
        self._metrics = f"http://127.0.0.1:{ports[8889]}/metrics"
        self.process = subprocess.Popen([sys.executable, STAND_IN, "--config", folder / "config.yaml"])

    def spans(self) -> list[Span]:
        return list(spans_in(self._folder.glob("traces.jsonl*")))

    def metrics(self) -> str:
        with urllib.request.urlopen(self._metrics) as page:
            return str(page.read().decode())


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    yield collector
    collector.process.terminate()
    collector.process.wait(10)


def test_a_run_is_one_trace_over_all_services_without_orphans_although_two_were_killed(own_stack, collector) -> None:
    own_stack.up()
    recipe = {"base": "python-stdlib-tiny", "trials": 1, "promotion": {"model": "traced"}}
    own_stack.submit(recipe, "traced")
    own_stack.until("traced", TrainingStarted)
    for service in ("trainer", "ingest"):
        os.kill(own_stack.pid(service), signal.SIGKILL)
    own_stack.until("traced", RunCompleted)
    shown = collector.metrics()
    own_stack.down()  # every service sends what is left
    spans = collector.spans()
    run = [span for span in spans if span.trace_id == traceparent_of_run("traced")[3:35]]
    assert {span.service for span in run} == set(SERVICES)
    assert orphans(spans) == []
    assert {span.attributes.get("ropewalk.run.id", "traced") for span in run} == {"traced"}
    assert {f"stage {name}" for name in ("ingest", "preprocess", "train", "deploy", "promote")} <= {
        span.name for span in run
    }
    assert {"load model", "text_completion traced"} <= {span.name for span in run if span.service == "serving"}
    assert len({span.resource["service.instance.id"] for span in run if span.service == "trainer"}) == 2
    for span in spans:
        assert span.resource["service.version"]
        assert all(len(str(value)) <= 200 for value in span.attributes.values()), span
    for name in ("consumer_pending", "service_ready", "training_step", "backend_up", "bus_stored_bytes", "runs"):
        assert f"ropewalk_{name}{{" in shown
