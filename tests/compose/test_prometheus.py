"""A real Prometheus reads what the services export: every panel shows something, every rule fires when it should.

It is Debian's package, from the PATH or fetched; between it and the services stands the stand-in for the collector.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ropewalk.local.names import SERVICES
from ropewalk.telemetry.catalogue import METRICS
from ropewalk.telemetry.metrics import count, gauge, record
from ropewalk.telemetry.settings import TelemetrySettings
from ropewalk.telemetry.setup import configure, shutdown

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "k8s" / "base" / "config"
DAY_S = 86_400.0
WELL = {"status": "running", "status_code": "200"}  # labels; every other one is `x`
# What a metric says when all is well and when it is not; moments are seconds from now.
MOMENTS = {
    "ropewalk.service.heartbeat": (0, -300),
    "ropewalk.bus.certificate": (300 * DAY_S, 3 * DAY_S),
    "ropewalk.training.progressed": (0, -3600),
    "ropewalk.checkpoint.saved": (0, -3600),
}
VALUES = {
    "ropewalk.service.ready": (1, 0),
    "ropewalk.bus.connected": (1, 0),
    "ropewalk.bus.answers": (1, 0),
    "ropewalk.backend.up": (1, 0),
    "ropewalk.model.away": (0, 1),
    "ropewalk.disk.free": (50, 1),
    "ropewalk.disk.size": (100, 100),
    "ropewalk.stream.size": (10, 95),
    "ropewalk.stream.limit": (100, 100),
    "ropewalk.letters.open": (0, 3),
    "ropewalk.alarms.open": (0, 2),
    "ropewalk.spool.lost": (0, 2),
    "ropewalk.queue.oldest": (1, 900),
}


def export(endpoint: str, services: tuple[str, ...], *, well: bool) -> None:
    """Send every metric of the catalogue from each service, as its own process would."""
    settings = TelemetrySettings.model_validate({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    for service in services:
        configure(service, settings, instance="one")
        for name, metric in METRICS.items():
            labels = {word: WELL.get(word, "x") for word in metric.labels}
            if not well and "status_code" in labels:
                labels["status_code"] = "500"
            if metric.kind == "gauge":
                moment = time.time() + MOMENTS[name][not well] if name in MOMENTS else None
                gauge(name, VALUES.get(name, (1, 1))[not well] if moment is None else moment, **labels)
            elif metric.kind == "histogram":
                for outcome in ("done", "retry"):
                    record(name, 1.0, **labels | ({"outcome": outcome} if "outcome" in labels else {}))
            else:
                count(name, **labels)
        shutdown()


class Prometheus:
    """A running Prometheus with the rules of the deployment, which looks every second."""

    def __init__(self, program: Path, folder: Path, collector: str) -> None:
        config = yaml.safe_load((CONFIG / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [collector]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        shutil.copy(CONFIG / "ropewalk-rules.yaml", folder)
        (port,) = free_ports(1)
        self._url = f"http://127.0.0.1:{port}/api/v1"
        options = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder / 'data'}"]
        self.process = subprocess.Popen([program, f"--config.file={folder / 'prometheus.yaml'}", *options])

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query, which must be well-formed."""
        question = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/query?{question}") as answer:
            result: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
            return result

    def until(self, expression: str, within_s: float = 30.0) -> None:
        """Wait until a query has a result."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.ask(expression):
                    return
            time.sleep(0.2)
        raise AssertionError(f"no result of {expression}")


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(number)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's Prometheus."""
    if found := shutil.which("prometheus"):
        return Path(found)
    folder = tmp_path_factory.mktemp("debian")
    if subprocess.run(["apt-get", "download", "prometheus"], cwd=folder, check=False).returncode:
        pytest.skip("there is no Prometheus on the PATH and no Debian mirror to fetch it from")
    (package,) = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder / "usr" / "bin" / "prometheus"


@pytest.fixture
def stack(program: Path, tmp_path: Path) -> Iterator[tuple[Prometheus, str, subprocess.Popen[bytes]]]:
    """Prometheus, the endpoint of a collector that it reads, and the collector's process."""
    otlp, metrics, health = free_ports(3)
    text = (CONFIG / "otel-collector.yaml").read_text().replace("/var/lib/otelcol", str(tmp_path))
    for inner, outer in ((4318, otlp), (8889, metrics), (13133, health)):
        text = text.replace(f"0.0.0.0:{inner}", f"127.0.0.1:{outer}")
    (tmp_path / "collector.yaml").write_text(text)
    stand_in = ROOT / "tests" / "compose" / "stand_ins" / "collector" / "collector.py"
    collector = subprocess.Popen([sys.executable, stand_in, "--config", tmp_path / "collector.yaml"])
    prometheus = Prometheus(program, tmp_path, f"127.0.0.1:{metrics}")
    yield prometheus, f"http://127.0.0.1:{otlp}", collector
    for process in (prometheus.process, collector):
        process.terminate()
        process.wait(20)


def panels() -> Iterator[tuple[str, str]]:
    for path in sorted((CONFIG / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            yield from ((panel["title"], target["expr"]) for target in panel["targets"] if "expr" in target)


def test_every_panel_shows_something_and_every_rule_fires_only_when_something_is_wrong(stack) -> None:
    prometheus, endpoint, collector = stack
    document = yaml.safe_load((CONFIG / "ropewalk-rules.yaml").read_text())
    rules = {rule["alert"]: rule["expr"] for group in document["groups"] for rule in group["rules"]}
    prometheus.until('up{job="otel-collector"} == 1')
    export(endpoint, SERVICES[:1], well=True)
    prometheus.until(rules.pop("RopewalkServiceMissing"))
    export(endpoint, SERVICES, well=True)
    prometheus.until("count(count by (job) (ropewalk_service_heartbeat_seconds)) == 7")
    prometheus.until("count_over_time(ropewalk_service_ready[1m]) > 3")  # a rate needs several points
    assert [title for title, expression in panels() if not prometheus.ask(expression)] == []
    assert [name for name, expression in rules.items() if prometheus.ask(expression)] == []
    no_metrics = rules.pop("RopewalkNoMetrics")
    export(endpoint, SERVICES, well=False)
    for expression in rules.values():
        prometheus.until(expression)
    collector.terminate()
    prometheus.until(no_metrics)
