"""A log to write to, the command line that reads it, and the service that judges."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ropewalk.cli.tree import app
from ropewalk.client import Client, ClientSettings
from ropewalk.events.base import Message

Ropewalk = Callable[..., Result]


@pytest.fixture
def publish(nats_server: Any) -> Callable[..., None]:
    def now(*messages: Message) -> None:
        async def all_of_them() -> None:
            async with await Client.connect(ClientSettings(nats=nats_server.settings)) as client:
                for message in messages:
                    await client.bus.publish(message)

        asyncio.run(all_of_them())

    return now


@pytest.fixture
def ropewalk(nats_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ropewalk:
    for name, value in {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path / "state"),
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def evaluator(nats_server: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path),
    }
    with (tmp_path / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ropewalk.evaluator"], env=environment, stdout=log, stderr=log
        )
    yield process
    process.kill()
    process.wait()
