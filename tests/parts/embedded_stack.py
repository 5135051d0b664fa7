"""The embedded stack, started and stopped through the command line as a user would."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parts.user_stack import UserStack

from ropewalk.client import ClientSettings, find_settings
from ropewalk.local.supervision.processes import stack_processes
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.objects import ObjectStore

_BROKER = "nats-server"


@dataclass(frozen=True)
class EmbeddedStack(UserStack):
    """A stack in a state folder."""

    state_dir: Path
    objects_url: str = ""  # empty: a folder in the state folder

    @property
    def environment(self) -> dict[str, str]:
        objects = {"ROPEWALK_OBJECTS_URL": self.objects_url} if self.objects_url else {}
        return {"ROPEWALK_STATE_DIR": str(self.state_dir), "COLUMNS": "200"} | objects

    @property
    def settings(self) -> ClientSettings:
        return find_settings(self.state_dir)

    @property
    def nats_options(self) -> dict[str, Any]:
        return {"servers": self.status()["endpoints"]["nats"]}

    @property
    def triton(self) -> dict[str, str]:
        endpoints = self.status()["endpoints"]
        return {kind: endpoints[f"triton_{kind}"].rpartition("://")[2] for kind in ("http", "grpc")}

    @property
    def objects(self) -> ObjectStore:
        return LocalObjects(self.state_dir / "objects")

    @property
    def secrets(self) -> list[str]:
        return list(json.loads((self.state_dir / "credentials.json").read_text()).values())

    def command_lines(self) -> list[str]:
        return [Path(f"/proc/{process.pid}/cmdline").read_text() for process in stack_processes(self.state_dir)]

    def logs(self) -> list[str]:
        return [path.read_text() for path in (self.state_dir / "logs").glob("*.log")]

    def offered(self, path: Path) -> Path:
        return path

    def up(self) -> None:
        done = self.ropewalk("up", timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        done = self.ropewalk("down")
        assert done.returncode == 0, done.stdout + done.stderr
        assert stack_processes(self.state_dir) == []

    def kill(self, service: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pid = self.pid(_BROKER if service == "broker" else service)
            if pid:  # 0: waiting to be started again
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return
            time.sleep(0.2)
        raise AssertionError(f"{service} does not come back: {self.status()}")

    def kill_everything(self) -> None:
        supervisor = self.pid("supervisor")
        for pid in (supervisor, *(process.pid for process in stack_processes(self.state_dir))):
            with contextlib.suppress(ProcessLookupError):  # died with the supervisor
                os.kill(pid, signal.SIGKILL)
        self.up()
        assert self.pid("supervisor") != supervisor

    def pid(self, service: str) -> int:
        """0 while it is not running."""
        return next(int(process["pid"]) for process in self.status()["processes"] if process["service"] == service)

    def port(self, endpoint: str) -> int:
        address = self.status()["endpoints"][endpoint].rpartition("://")[2]
        return int(address.split("/")[0].rpartition(":")[2])
