"""A running stack as its user has it: command line, SDK, addresses and keys. Where it runs is for subclasses."""

import json
import os
import subprocess
import sysconfig
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeVar

from ropewalk.cli.connecting import call
from ropewalk.client import Client, ClientSettings
from ropewalk.events.base import Message
from ropewalk.events.run import RunFailed, RunRejected
from ropewalk.storage.objects import ObjectStore

M = TypeVar("M", bound=Message)
RUN_DEADLINE_S = 400.0


class UserStack(ABC):
    """What every test end to end asks of a stack."""

    deadline_s = RUN_DEADLINE_S  # of a small run

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What a user of this stack has set."""

    @property
    @abstractmethod
    def settings(self) -> ClientSettings:
        """What the SDK finds."""

    @property
    @abstractmethod
    def nats_options(self) -> dict[str, Any]:
        """What `nats.connect` of plain nats-py needs."""

    @property
    @abstractmethod
    def triton(self) -> dict[str, str]:
        """`host:port` of Triton's protocols, `http` and `grpc`."""

    @property
    @abstractmethod
    def objects(self) -> ObjectStore:
        """The object store."""

    @property
    @abstractmethod
    def secrets(self) -> list[str]:
        """Everything that nobody else may know."""

    @abstractmethod
    def command_lines(self) -> list[str]:
        """Those of all processes."""

    @abstractmethod
    def logs(self) -> list[str]:
        """What every service has logged."""

    @abstractmethod
    def offered(self, path: Path) -> Path:
        """The path under which services see a file or a folder of the user's machine as it is now."""

    @abstractmethod
    def up(self) -> None:
        """Start what is stopped; it must become ready."""

    @abstractmethod
    def down(self) -> None:
        """Stop everything; no process may be left."""

    @abstractmethod
    def kill(self, service: str) -> None:
        """`kill -9` a service or the `broker`, also one that is just being started again."""

    @abstractmethod
    def kill_everything(self) -> None:
        """`kill -9` all processes at once, and whoever watches over them; then let it come back."""

    def ropewalk(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [program(), *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: str, folder: Path) -> subprocess.Popen[bytes]:
        """Start a command in a folder and a process group of its own, as a shell does; it writes to `output` there."""
        with (folder / "output").open("wb") as output:
            return subprocess.Popen(
                [program(), *arguments],
                env=os.environ | self.environment,
                cwd=folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def json(self, *arguments: str) -> Any:
        """The JSON answer of a command that must succeed."""
        done = self.ropewalk(*arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.json("status")
        return status

    def submit(self, recipe: dict[str, Any], run_id: str) -> str:
        """Submit a recipe through the SDK."""
        return call(lambda client: client.submit(recipe, run_id), self.settings)

    def timeline(self, run_id: str) -> list[Message]:
        """The facts of a run so far."""

        async def read(client: Client) -> list[Message]:
            return [stored.message async for stored in client.bus.read(f"evt.*.*.*.{run_id}")]

        return call(read, self.settings)

    def until(self, run_id: str, kind: type[M], deadline_s: float = 0.0) -> M:
        """Wait for an event of a type. A run that failed never gets there."""
        deadline = time.monotonic() + (deadline_s or self.deadline_s)
        while time.monotonic() < deadline:
            timeline = self.timeline(run_id)
            for message in timeline:
                if isinstance(message, kind):
                    return message
                assert not isinstance(message, RunFailed | RunRejected), message
            time.sleep(0.3)
        raise AssertionError(f"no {kind.__name__}; the run has {[type(message).__name__ for message in timeline]}")


def program() -> Path:
    """The command line of this environment."""
    return Path(sysconfig.get_path("scripts")) / "ropewalk"
