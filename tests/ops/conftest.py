"""What the deployment files are compared with: the services' own settings, ports and dependencies."""

import importlib
import importlib.util
import tomllib
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
def interface() -> ModuleType:
    """tests/interface.py, a script and no package."""
    spec = importlib.util.spec_from_file_location("interface", ROOT / "tests" / "interface.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def settings_names(interface: ModuleType) -> dict[str, set[str]]:
    """Service -> the environment variables its Settings read."""
    found = {}
    for name in SERVICES:
        module = importlib.import_module(f"ropewalk.{name.replace('-', '_')}.settings")
        found[name] = {setting.name for setting in interface.settings_of(module.Settings)}
    return found


@pytest.fixture(scope="session")
def defaults(interface: ModuleType) -> dict[str, object]:
    """Environment variable -> what counts without it."""
    return {setting.name: setting.default for setting in interface.own_settings()}
