"""A running facade over a store in this process."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.clickhouse import ClickHouse, engine_address, open_embedded
from ropewalk.monitor.adapters.embedded import EmbeddedEngine
from ropewalk.monitor.adapters.facade import Facade, serve

MEMORY_MB = 1024


@dataclass(frozen=True)
class Interface:
    """Where the facade listens, and who may come in."""

    port: int
    folder: Path
    memory_mb: int = MEMORY_MB
    reader: tuple[str, str] = ("ropewalk", "reader-secret")
    operator: tuple[str, str] = ("ropewalk_operator", "operator-secret")
    writer: tuple[str, str] = ("ropewalk_writer", "writer-secret")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, *, writer: bool = False, **options: Any) -> Any:
        import clickhouse_connect

        user, password = self.writer if writer else self.reader
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=user, password=password, **options
        )


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory, unused_port: int) -> Iterator[Interface]:
    """One engine per module: chDB allows one folder per process at a time."""
    folder = tmp_path_factory.mktemp("engine")
    found = Interface(unused_port, folder)
    engine = EmbeddedEngine(engine_address(folder, MEMORY_MB), query_seconds=5)
    accounts = (
        Account(user=found.reader[0], password=found.reader[1]),
        Account(user=found.operator[0], password=found.operator[1], operator=True),
        Account(user=found.writer[0], password=found.writer[1], read_only=False),
    )
    ready: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        store: ClickHouse = await open_embedded(folder, MEMORY_MB)
        stop = asyncio.Event()
        ready.append((asyncio.get_running_loop(), stop))
        server = asyncio.create_task(serve(Facade(engine, accounts), "127.0.0.1", unused_port))
        await stop.wait()
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        await store.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    _wait_until_it_answers(found.url)
    yield found
    loop, stop = ready[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/ping").text == "Ok.\n":
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(f"nothing answers at {url}")
