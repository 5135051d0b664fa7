"""nats-server alone on the state folder of a stack that is down, so that its log can be kept or replaced."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ropewalk.bus.settings import NatsSettings
from ropewalk.local.broker.config import quoted_path
from ropewalk.local.credentials import write_private
from ropewalk.local.errors import StackStartError
from ropewalk.local.layout import Layout
from ropewalk.local.lock import held
from ropewalk.local.logfiles import open_log
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import LOOPBACK, Ports, choose_ports
from ropewalk.local.supervision.commands import program
from ropewalk.local.supervision.processes import die_with_parent, kill_leftovers

_START_S = 60.0
_STOP_S = 120.0
_USER = "offline"


@contextmanager
def broker_alone(layout: Layout) -> Iterator[NatsSettings]:
    """A server on loopback with one user of its own, who may do everything; no service of the stack can start.

    It does not wait for the disk at each message, since what is interrupted is begun again; the end syncs everything.
    Raises AlreadyRunningError, StackStartError, OSError.
    """
    layout.create()
    with held(layout):
        kill_leftovers(layout.state_dir)
        claims = PortClaims()
        port = choose_ports(Ports(), claims).nats
        settings = NatsSettings(url=f"nats://{LOOPBACK}:{port}", user=_USER, password=secrets.token_hex(24))
        config = layout.state_dir / "offline-nats-server.conf"
        write_private(config, _config(layout, settings).encode())
        process = _start(layout, config)
        try:
            _wait(process, settings, layout)
            yield settings
        finally:
            process.terminate()
            process.wait(_STOP_S)
            os.sync()
            config.unlink()


def _start(layout: Layout, config: Path) -> subprocess.Popen[bytes]:
    with open_log(layout.log_of("nats-server")) as log:
        return subprocess.Popen(
            [program("nats-server"), "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def _wait(process: subprocess.Popen[bytes], settings: NatsSettings, layout: Layout) -> None:
    """Until the server accepts connections, which it does once it has read its store."""
    port = int(settings.url.rpartition(":")[2])
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise StackStartError(f"nats-server did not start: see {layout.log_of('nats-server')}")


def _config(layout: Layout, settings: NatsSettings) -> str:
    return f"""\
server_name: ropewalk
listen: "{settings.url.removeprefix("nats://")}"
authorization {{ user: "{settings.user}", password: "{settings.password}" }}
jetstream {{ store_dir: {quoted_path(layout.nats_store)}, max_memory_store: 64MB, max_file_store: 100GB }}
"""
