"""The whole embedded stack, started and stopped through the command line as a user would."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest

from ropewalk.cli.connecting import call
from ropewalk.client import Client, ClientSettings, find_settings
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ModelPromoted
from ropewalk.events.run import RunCompleted, RunFailed, RunRejected
from ropewalk.local.supervision.processes import stack_processes

M = TypeVar("M", bound=Message)
RUN_DEADLINE_S = 400.0


@dataclass(frozen=True)
class Stack:
    """A running stack and how to talk to it."""

    state_dir: Path
    objects_url: str = ""  # empty: a folder in the state folder

    @property
    def environment(self) -> dict[str, str]:
        """What a user of this stack has set."""
        objects = {"ROPEWALK_OBJECTS_URL": self.objects_url} if self.objects_url else {}
        return os.environ | {"ROPEWALK_STATE_DIR": str(self.state_dir), "COLUMNS": "200"} | objects

    def start(self, *arguments: str, folder: Path) -> subprocess.Popen[bytes]:
        """Start a command in a folder and a process group of its own, as a shell does; it writes to `output` there."""
        with (folder / "output").open("wb") as output:
            return subprocess.Popen(
                [_ropewalk(), *arguments],
                env=self.environment,
                cwd=folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ropewalk(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [_ropewalk(), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def up(self) -> None:
        """Start the stack; it must become ready."""
        done = self.ropewalk("up", timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        """Stop the stack; no process may be left."""
        done = self.ropewalk("down")
        assert done.returncode == 0, done.stdout + done.stderr
        assert stack_processes(self.state_dir) == []

    def json(self, *arguments: str) -> Any:
        """The JSON answer of a command that must succeed."""
        done = self.ropewalk(*arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.json("status")
        return status

    def port(self, endpoint: str) -> int:
        address = self.status()["endpoints"][endpoint].rpartition("://")[2]
        return int(address.split("/")[0].rpartition(":")[2])

    def pid(self, service: str) -> int:
        return next(int(process["pid"]) for process in self.status()["processes"] if process["service"] == service)

    @property
    def settings(self) -> ClientSettings:
        return find_settings(self.state_dir)

    def submit(self, recipe: dict[str, Any], run_id: str) -> str:
        """Submit a recipe through the SDK."""
        return call(lambda client: client.submit(recipe, run_id), self.settings)

    def timeline(self, run_id: str) -> list[Message]:
        """The facts of a run so far."""

        async def read(client: Client) -> list[Message]:
            return [stored.message async for stored in client.bus.read(f"evt.*.*.*.{run_id}")]

        return call(read, self.settings)

    def until(self, run_id: str, kind: type[M], deadline_s: float = RUN_DEADLINE_S) -> M:
        """Wait for an event of a type. A run that failed never gets there."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            timeline = self.timeline(run_id)
            for message in timeline:
                if isinstance(message, kind):
                    return message
                assert not isinstance(message, RunFailed | RunRejected), message
            time.sleep(0.3)
        raise AssertionError(f"no {kind.__name__}; the run has {[type(message).__name__ for message in timeline]}")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on a machine where the usual ports of the bus and the endpoint are taken."""
    with socket.socket() as taken_nats, socket.socket() as taken_openai:
        for taken, port in ((taken_nats, 4222), (taken_openai, 8080)):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody else has it: taken all the same
                taken.bind(("127.0.0.1", port))
                taken.listen()
        stack = Stack(tmp_path_factory.mktemp("state"))
        stack.up()
        yield stack
        stack.down()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that was not started yet, with a state folder of its own."""
    stack = Stack(tmp_path / "state")
    yield stack
    stack.down()


def _ropewalk() -> Path:
    return Path(sysconfig.get_path("scripts")) / "ropewalk"


@pytest.fixture(scope="session")
def small_recipe() -> dict[str, Any]:
    """The main job, small, under a model name that no other test promotes."""
    return {"base": "python-stdlib-tiny", "trials": 4, "promotion": {"model": "small"}}


@pytest.fixture(scope="session")
def promoted(stack: Stack, small_recipe: dict[str, Any]) -> ModelPromoted:
    """A run submitted with plain nats-py, followed to its end; every module looks at this one."""

    async def publish() -> None:
        connection = await nats.connect(stack.status()["endpoints"]["nats"])
        body = json.dumps({"run_id": "small", "recipe": small_recipe}).encode()
        await connection.jetstream().publish("cmd.run.submit.v1.small", body)
        await connection.close()

    asyncio.run(publish())
    completed = stack.until("small", RunCompleted)
    assert completed.outcome == "promoted", stack.timeline("small")
    return stack.until("small", ModelPromoted)
