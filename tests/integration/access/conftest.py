"""A real nats-server with the configuration that the embedded stack writes: users with keys and their rights."""

import asyncio
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ropewalk.admin.access import SUPERVISOR, USERS
from ropewalk.admin.topology import apply_topology
from ropewalk.bus.client import GuardedClient
from ropewalk.bus.connection import connect
from ropewalk.bus.settings import NatsSettings
from ropewalk.local.broker.config import BusAccounts, BusServer, nats_config
from ropewalk.local.broker.keys import ensure_keys
from ropewalk.local.env import bus_settings
from ropewalk.local.layout import layout_of
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import LOOPBACK, Ports, choose_ports

Connector = Callable[[str], Awaitable[GuardedClient]]


class GuardedServer:
    """A server with every user, stream and consumer. `password` is the operator's."""

    password = "of-the-operator"

    def __init__(self, folder: Path) -> None:
        self.layout = layout_of(folder)
        self.layout.create()
        self.ports = choose_ports(Ports(nats=1), PortClaims())
        self.write_config()
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        with self.layout.log_of("nats-server").open("wb") as log:
            self.process = subprocess.Popen([program, "-c", self.layout.nats_config], stderr=log)
        self._wait()
        asyncio.run(apply_topology(self.settings(SUPERVISOR)))

    def write_config(self) -> None:
        """As the supervisor does."""
        accounts = BusAccounts(ensure_keys(self.layout.keys, USERS), {"operator": self.password}, "of-the-system")
        server = BusServer(store=self.layout.nats_store, port=self.ports.nats)
        self.layout.nats_config.write_text(nats_config(server, accounts))

    def settings(self, user: str) -> NatsSettings:
        """How a user reaches it."""
        return bus_settings(user, self.layout, self.ports)

    def reload(self) -> None:
        """Have the server read its configuration again."""
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, self.layout.log_of("nats-server").read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.ports.nats)) == 0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """One server for the tests of a module."""
    server = GuardedServer(tmp_path_factory.mktemp("guarded"))
    yield server
    server.stop()


@pytest.fixture
async def as_user(guarded: GuardedServer) -> AsyncIterator[Connector]:
    """Connects as a user; every connection is closed at the end."""
    opened: list[GuardedClient] = []

    async def connected(user: str) -> GuardedClient:
        opened.append(await connect(guarded.settings(user), user))
        return opened[-1]

    yield connected
    for client in opened:
        await client.close()
