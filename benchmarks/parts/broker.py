"""A nats-server of one's own for a benchmark: fsync on, loopback, a free port, a folder that is thrown away."""

import asyncio
import contextlib
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.settings import NatsSettings

_CONFIG = """
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{store}", sync_interval: {sync}, max_file_store: 64GB }}
"""


@dataclass(frozen=True)
class Broker:
    """Where it is and which process it is."""

    folder: Path
    settings: NatsSettings
    pid: int


@contextlib.contextmanager
def running_broker(*, sync: str = "always") -> Iterator[Broker]:
    """A server with all streams. `sync` is its sync_interval, for those who only read what they filled in."""
    with tempfile.TemporaryDirectory(prefix="ropewalk-bench-") as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        config = folder / "nats.conf"
        config.write_text(_CONFIG.format(port=port, store=folder / "store", sync=sync))
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        with (folder / "nats.log").open("wb") as log:
            process = subprocess.Popen([binary, "-c", config], stdout=log, stderr=log)
        try:
            _wait(port)
            settings = NatsSettings(url=f"nats://127.0.0.1:{port}")
            asyncio.run(apply_topology(settings))
            yield Broker(folder, settings, process.pid)
        finally:
            process.terminate()
            process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nats-server did not listen on port {port} within 20 s")
