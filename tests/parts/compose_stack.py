"""A stack of compose.yaml that runs already, with `keys/client.env` set."""

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compose.containers import Project, docker, kill_9, variables
from parts.user_stack import UserStack

from ropewalk.client import ClientSettings, find_settings
from ropewalk.runtime.settings import StorageSettings
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.objects import ObjectStore

ROOT = Path(__file__).parents[2]
IS_ASKED_FOR = os.environ.get("ROPEWALK_TEST_STACK", "embedded") == "compose"


class ComposeStack(UserStack):
    """`root` has compose.yaml, `env_file` is what compose reads, `scratch` is for this session alone."""

    deadline_s = 900.0  # twenty containers share the CPUs that one process tree has in the embedded stack

    def __init__(self, root: Path, env_file: Path, scratch: Path) -> None:
        self.told = variables(env_file)
        self.project = Project(self.told["COMPOSE_PROJECT_NAME"])
        self._data = root / self.told.get("DATA_DIR", "data")
        self._keys = root / self.told["ROPEWALK_KEYS"]
        self._scratch = scratch
        self._num_offered = 0

    @property
    def environment(self) -> dict[str, str]:
        own = {"ROPEWALK_STATE_DIR": str(self._scratch / "no-embedded-stack"), "COLUMNS": "200"}
        return variables(self._keys / "client.env") | own

    @property
    def settings(self) -> ClientSettings:
        return find_settings(self._scratch / "no-embedded-stack")

    @property
    def nats_options(self) -> dict[str, Any]:
        given = self.settings.nats
        return {
            "servers": given.url,
            "tls": ssl.create_default_context(cafile=given.tls_ca),
            "nkeys_seed": str(given.nkey_file),
        }

    @property
    def triton(self) -> dict[str, str]:
        return {kind: f"127.0.0.1:{self.told[f'ROPEWALK_PORT_TRITON_{kind.upper()}']}" for kind in ("http", "grpc")}

    @property
    def objects(self) -> ObjectStore:
        where = StorageSettings()
        return StoreAddress(url=where.url, endpoint=where.endpoint, cache=self._scratch / "fetched").connect()

    @property
    def secrets(self) -> list[str]:
        words = ("KEY", "TOKEN", "PASSWORD", "SECRET")
        told = [value for name, value in self.told.items() if name != "ROPEWALK_KEYS" and any(w in name for w in words)]
        return [*told, *(seed.read_text().strip() for seed in (self._keys / "seeds").iterdir())]

    def command_lines(self) -> list[str]:
        containers = self.project.containers()
        return [line for container in containers for line in docker("top", container, "-eo", "pid,args").splitlines()]

    def logs(self) -> list[str]:
        return [docker("logs", container) for container in self.project.containers()]

    def offered(self, path: Path) -> Path:
        self._num_offered += 1
        place = self._data / f"offered-{self._scratch.parent.name}-{self._num_offered}" / path.name
        place.parent.mkdir(parents=True)
        copied = shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)
        for each in (place.parent, place, *place.rglob("*")):  # a service reads as a user of its own
            each.chmod(0o755 if each.is_dir() else 0o644)
        return Path("/data") / Path(copied).relative_to(self._data)

    def up(self) -> None:
        self.project.start()
        self.project.ready()

    def down(self) -> None:
        self.project.stop()
        assert "running" not in {docker("inspect", "-f={{.State.Status}}", one) for one in self.project.containers()}

    def kill(self, service: str) -> None:
        self.project.kill("nats" if service == "broker" else service)

    def kill_everything(self) -> None:
        for container in self.project.containers():
            kill_9(container)
        self.project.ready()


def running_stack(scratch: Path) -> Iterator[ComposeStack]:
    """The one of ROPEWALK_TEST_ENV (default: `.env`), once it is ready, and this process as its user."""
    env_file = Path(os.environ.get("ROPEWALK_TEST_ENV", ROOT / ".env")).absolute()
    stack = ComposeStack(ROOT, env_file, scratch)
    with pytest.MonkeyPatch.context() as exported:
        for name, value in stack.environment.items():
            exported.setenv(name, value)
        stack.project.ready()
        yield stack
