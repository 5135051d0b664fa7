"""Parts for tests: a nats-server with our topology and an OTLP receiver, real and on free ports of loopback; a bus and
a stage context in memory; scripts that are no package."""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.codec import Stored
from ropewalk.bus.sending import Outgoing
from ropewalk.bus.settings import NatsSettings
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.local import LocalObjects

os.environ.setdefault("OMP_NUM_THREADS", "1")

_CONFIG = """
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{store}", sync_interval: {sync}, max_file_store: 64GB }}
authorization {{ user: "test", password: "test-password" }}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class NatsServer:
    """A nats-server that can be killed and started again on the same port and store."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    sync: str = "always"

    @property
    def settings(self) -> NatsSettings:
        return NatsSettings(url=f"nats://127.0.0.1:{self.port}", user="test", password="test-password")

    def start(self) -> None:
        config = self.folder / "nats.conf"
        config.write_text(_CONFIG.format(port=self.port, store=self.folder / "store", sync=self.sync))
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([binary, "-c", config], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "nats.log").read_text())

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


@pytest.fixture(scope="session")
def empty_streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a server that has all streams and consumers and no message: copying it takes a tenth as long."""
    server = NatsServer(tmp_path_factory.mktemp("empty-streams"), free_port(), sync="2m")
    server.start()
    asyncio.run(apply_topology(server.settings))
    server.stop(signal.SIGTERM)
    return server.folder / "store"


@pytest.fixture
def nats_server(tmp_path: Path, empty_streams: Path) -> Iterator[NatsServer]:
    """A fresh server with all streams."""
    yield from _with_streams(tmp_path / "nats", empty_streams)


@pytest.fixture(scope="module")
def shared_nats(tmp_path_factory: pytest.TempPathFactory, empty_streams: Path) -> Iterator[NatsServer]:
    """A server with all streams for the tests of a module, each of which has names of its own and kills nothing."""
    yield from _with_streams(tmp_path_factory.mktemp("shared-nats"), empty_streams)


def _with_streams(folder: Path, empty: Path) -> Iterator[NatsServer]:
    shutil.copytree(empty, folder / "store")
    server = NatsServer(folder, free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[NatsServer]:
    """Another server, on another folder, without a stream. It does not wait for the disk, as during a restore."""
    folder = tmp_path / "another-nats"
    folder.mkdir()
    server = NatsServer(folder, free_port(), sync="2m")
    server.start()
    yield server
    server.stop()


class Collector:
    """An OTLP/HTTP receiver on loopback."""

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces":
                    collector.traces.append(ExportTraceServiceRequest.FromString(body))
                elif self.path == "/v1/metrics":
                    collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep the test output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[Span]:
        """Every span received so far."""
        return [span for t in self.traces for r in t.resource_spans for s in r.scope_spans for span in s.spans]

    def metric_names(self) -> set[str]:
        """The names of every metric received so far."""
        return {m.name for t in self.metrics for r in t.resource_metrics for s in r.scope_metrics for m in s.metrics}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """An OTLP receiver that real exporters can send to."""
    receiver = Collector()
    yield receiver
    receiver.close()


@dataclass
class MemoryBus:
    """Answers as the bus does, from a list. `ids` are those of messages, by sequence, that repeat an earlier one.

    `num_read` counts the messages that were read.
    """

    messages: list[Message] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)
    num_read: int = 0
    sent: list[Outgoing] = field(default_factory=list)

    async def last(self, kind: type[Message], entity: str) -> Message | None:
        found = [message for message in self.messages if type(message) is kind and message.entity == entity]
        self.num_read += len(found[-1:])
        return found[-1] if found else None

    async def read_snapshot(self, kind: type[Message], subject: str) -> tuple[Message | None, int]:
        found = await self.last(kind, subject.rpartition(".")[2])
        return found, len(self.messages) if found else 0

    async def publish(self, message: Message, *, cause_id: str = "", key: str = "") -> None:
        assert cause_id, "a repetition could not be told from another one"
        self.messages.append(message)

    async def end(self) -> int:
        return len(self.messages)

    async def read_state(self, subject: str) -> tuple[Message | None, int]:
        found = [message for message in self.messages if message.subject == subject]
        return (found[-1], len(self.messages)) if found else (None, 0)

    async def send(self, batch: Sequence[Outgoing]) -> None:
        self.sent += batch

    async def follow(self, subject_filter: str) -> AsyncIterator[Stored[Message]]:
        after = 0
        while True:
            async for item in self.read(subject_filter, after=after):
                after = item.sequence
                yield item
            await asyncio.sleep(0.01)

    async def read(self, subject_filter: str, *, stream: str = "", after: int = 0) -> AsyncIterator[Stored[Message]]:
        for sequence, message in enumerate(self.messages[after:], start=after + 1):
            if fnmatch(message.subject, subject_filter):
                self.num_read += 1
                identity = self.ids.get(sequence, str(sequence))
                envelope = Envelope(id=identity, type="t", source="s", time="", run_id=message.run_id)
                yield Stored(sequence, datetime.now(UTC), envelope, message)


@dataclass
class StageHere:
    """A stage's context without lease and child process: the work runs in this one."""

    objects: LocalObjects
    scratch: Path
    recipe: Recipe
    run_id: str = "r"
    epoch: int = 1
    attempt: int = 1
    bus: MemoryBus = field(default_factory=MemoryBus)
    emitted: list[Message] = field(default_factory=list)
    num_children: int = 0

    async def emit(self, message: Message, key: str = "") -> None:
        self.emitted.append(message)
        self.bus.messages.append(message)

    async def in_child(self, function: Callable, argument: object, on_message: Callable | None = None) -> object:
        self.num_children += 1
        told: list[object] = []
        result = function(argument, told.append)
        for message in told if on_message else ():
            await on_message(message)
        return result


@pytest.fixture
def timeline() -> MemoryBus:
    """An empty bus in memory."""
    return MemoryBus()


@pytest.fixture(scope="session")
def stage_here() -> type[StageHere]:
    """Makes contexts for stages that run in this process."""
    return StageHere


@pytest.fixture(scope="session")
def load_script() -> Callable[[Path], ModuleType]:
    """Imports a file that belongs to no package."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
