"""Real parts for tests: a nats-server with our topology on a free port of the loopback interface."""

import asyncio
import os
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ropewalk.runtime.settings import NatsSettings
from ropewalk.runtime.topology import apply_topology

os.environ.setdefault("OMP_NUM_THREADS", "1")

_CONFIG = """
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{store}", sync_interval: always, max_file_store: 64GB }}
authorization {{ token: "test-token" }}
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

    @property
    def settings(self) -> NatsSettings:
        return NatsSettings(url=f"nats://127.0.0.1:{self.port}", token="test-token")

    def start(self) -> None:
        config = self.folder / "nats.conf"
        config.write_text(_CONFIG.format(port=self.port, store=self.folder / "store"))
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


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A fresh server with all streams."""
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder, free_port())
    server.start()
    asyncio.run(apply_topology(server.settings))
    yield server
    server.stop()
