"""The real nats-server as the stack runs it: token, mode 0600, back after kill -9 with everything it acknowledged."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import time

import pytest

from ropewalk.events.run import StageInterrupted, StageStarted
from ropewalk.local.commands import broker
from ropewalk.local.layout import layout_of
from ropewalk.local.ports import Ports, choose_ports
from ropewalk.local.process import SupervisedProcess
from ropewalk.local.state import endpoints_of
from ropewalk.local.supervisor import prepare
from ropewalk.runtime.bus import Bus
from ropewalk.runtime.settings import NatsSettings
from ropewalk.runtime.topology import apply_topology


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A prepared stack on free ports."""
    monkeypatch.setattr("ropewalk.local.supervisor.Ports", lambda: choose_ports(Ports(nats=1, nats_monitor=2)))
    layout = layout_of(tmp_path / "state")
    layout.create()
    return prepare(layout)


@pytest.fixture
def small_disk(tmp_path):
    """The state folder on a file system of 60 MB."""
    folder = tmp_path / "state"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
async def running(plan):
    process = SupervisedProcess(broker(plan), plan.layout, lambda: None)
    process.start()
    await process.wait_ready(20)
    yield process
    await process.stop()


async def test_configuration_and_state_folder_are_private(plan):
    assert stat.S_IMODE(plan.layout.nats_config.stat().st_mode) == 0o600
    assert stat.S_IMODE(plan.layout.state_dir.stat().st_mode) == 0o700


async def test_broker_refuses_who_has_no_token(plan, running):
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.ports.nats)
    writer.write(b"CONNECT {}\r\nPING\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()

    assert b"Authorization Violation" in answer


async def test_killed_broker_is_back_in_seconds_with_every_acknowledged_event(plan, running):
    settings = NatsSettings(url=endpoints_of(plan.ports).nats, token=plan.credentials.nats_token)
    await apply_topology(settings)
    bus = await Bus.connect(settings, "test")
    await bus.publish(StageStarted(run_id="r", stage="train", epoch=3))
    first, began = running.state.pid, time.monotonic()

    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        while running.state.pid in (0, first) or running.state.status != "ready":
            await asyncio.sleep(0.02)

    assert time.monotonic() - began < 5
    found = await bus.last(StageStarted, "r")
    assert found is not None
    assert found.epoch == 3
    await bus.close()


async def test_events_wait_for_room_on_a_full_disk_and_are_then_recorded(small_disk, plan, running):
    settings = NatsSettings(url=endpoints_of(plan.ports).nats, token=plan.credentials.nats_token)
    await apply_topology(settings)
    bus = await Bus.connect(settings, "test")
    filler = small_disk / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(60 * 1024**2))
    event = StageInterrupted(run_id="r", stage="train", epoch=3, cause="x" * 8000)  # more than a page that exists
    published = asyncio.create_task(bus.publish(event))
    deadline = time.monotonic() + 60
    log = plan.layout.log_of("nats-server")
    while "no space left" not in log.read_text():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert not published.done()
    filler.unlink()
    await asyncio.wait_for(published, 60)
    assert running.state.restarts == 1
    await bus.close()
