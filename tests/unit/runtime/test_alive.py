"""The health check of a container, against a real nats-server."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from ropewalk.runtime.alive import is_alive
from ropewalk.runtime.settings import NatsSettings

TOKEN = "a-token"


@pytest.fixture
async def bus() -> AsyncIterator[NatsSettings]:
    """A nats-server on a free port that wants a token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
    server = subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port), "--auth", TOKEN], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        await asyncio.sleep(0.02)
    yield NatsSettings(url=f"nats://127.0.0.1:{port}", token=TOKEN)
    server.terminate()
    server.wait()


async def test_a_service_that_answers_is_alive_and_another_is_not(bus: NatsSettings) -> None:
    connection = await nats.connect(bus.url, token=TOKEN)

    async def pong(message: Msg) -> None:
        await message.respond(b"{}")

    await connection.subscribe("ctl.ping.trainer", cb=pong)
    await connection.flush()
    assert await is_alive("trainer", bus)
    assert not await is_alive("monitor", bus)
    await connection.close()


async def test_a_service_that_hangs_is_not_alive(bus: NatsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.runtime.alive.TIMEOUT_S", 0.3)
    connection = await nats.connect(bus.url, token=TOKEN)
    await connection.subscribe("ctl.ping.trainer")
    await connection.flush()
    assert not await is_alive("trainer", bus)
    await connection.close()


async def test_without_the_bus_or_with_a_wrong_token_nothing_is_alive(bus: NatsSettings) -> None:
    assert not await is_alive("trainer", NatsSettings(url="nats://127.0.0.1:1"))
    assert not await is_alive("trainer", NatsSettings(url=bus.url, token="wrong"))


def test_the_command_exits_with_one_for_a_dead_service() -> None:
    command = [sys.executable, "-m", "ropewalk.runtime.alive", "trainer"]
    ended = subprocess.run(command, env={"ROPEWALK_NATS_URL": "nats://127.0.0.1:1"}, capture_output=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == b""
