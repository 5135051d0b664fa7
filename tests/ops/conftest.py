"""What the deployment files are compared with: the services' own settings, ports and dependencies."""

import importlib
import subprocess
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("ingest", "preprocessing", "trainer", "checkpoint-manager", "evaluator", "monitor", "serving")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def services() -> tuple[str, ...]:
    return SERVICES


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


@pytest.fixture(scope="session")
def interface(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    """tests/interface.py, a script and no package."""
    return load_script(ROOT / "tests" / "interface.py")


@pytest.fixture(scope="session")
def settings_names(interface: ModuleType) -> dict[str, set[str]]:
    """Service -> the environment variables its Settings read."""
    found = {}
    for name in SERVICES:
        module = importlib.import_module(f"ropewalk.{name.replace('-', '_')}.settings")
        found[name] = {setting.name for setting in interface.settings_of(module.Settings)}
    return found


@pytest.fixture(scope="session")
def check_nats_config() -> Callable[[Path, str], None]:
    """Has nats-server itself read a configuration; includes are sought in the folder."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"

    def check(folder: Path, text: str) -> None:
        config = folder / "checked.conf"
        config.write_text(text)
        checked = subprocess.run([program, "-t", "-c", config], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    return check


@pytest.fixture(scope="session")
def defaults(interface: ModuleType) -> dict[str, object]:
    """Environment variable -> what counts without it."""
    return {setting.name: setting.default for setting in interface.own_settings()}
