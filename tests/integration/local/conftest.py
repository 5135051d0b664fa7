"""The real nats-server under the supervisor's care, on free ports, also on a disk that is soon full."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ropewalk.bus.settings import NatsSettings
from ropewalk.local.layout import layout_of
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import Ports, choose_ports
from ropewalk.local.state import endpoints_of
from ropewalk.local.supervision.commands import StackPlan, broker
from ropewalk.local.supervision.process import SupervisedProcess
from ropewalk.local.supervision.supervisor import prepare


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackPlan:
    """A prepared stack on free ports."""
    monkeypatch.setattr(
        "ropewalk.local.supervision.supervisor.Ports", lambda: choose_ports(Ports(nats=1), PortClaims())
    )
    layout = layout_of(tmp_path / "state")
    layout.create()
    plan = prepare(layout)
    config = layout.nats_config.read_text()
    layout.nats_config.write_text(config.replace("users: [", 'users: [\n    {user: "test", password: "test-password"}'))
    return plan


@pytest.fixture
def settings(plan: StackPlan) -> NatsSettings:
    """A user of that stack who may do everything."""
    return NatsSettings(url=endpoints_of(plan.ports).nats, user="test", password="test-password")


@pytest.fixture
def operator_url(plan: StackPlan) -> str:
    """The address that `ropewalk status` looks at."""
    credentials = plan.credentials
    return endpoints_of(plan.ports).nats.replace("nats://", f"nats://operator:{credentials.nats_password}@")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The state folder on a file system of 60 MB."""
    folder = tmp_path / "state"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
async def running(plan: StackPlan) -> AsyncIterator[SupervisedProcess]:
    process = SupervisedProcess(broker(plan), plan.layout, lambda: None)
    process.start()
    await process.wait_ready(20)
    yield process
    await process.stop()
