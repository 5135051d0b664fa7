"""The real nats-server as the stack runs it: for users with keys only, and back after kill -9 with everything."""

import asyncio
import os
import shutil
import signal
import stat
import time

from ropewalk.admin.access import USERS
from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.events.run import StageStarted
from ropewalk.local.supervision.supervisor import prepare


async def test_configuration_and_state_folder_are_private(plan):
    assert stat.S_IMODE(plan.layout.nats_config.stat().st_mode) == 0o600
    assert stat.S_IMODE(plan.layout.state_dir.stat().st_mode) == 0o700


async def test_a_state_folder_of_an_older_version_gets_keys_and_keeps_its_other_secrets(plan):
    layout = plan.layout
    shutil.rmtree(layout.keys)
    layout.credentials_file.write_text('{"nats_token": "the only key there was", "demo_key": "kept"}')

    credentials = prepare(layout).credentials

    assert credentials.demo_key == "kept"
    assert {path.stem for path in layout.keys.iterdir()} == set(USERS)
    assert credentials.nats_password in layout.nats_config.read_text()
    assert "the only key there was" not in layout.nats_config.read_text()


async def test_broker_refuses_who_has_no_key(plan, running):
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.ports.nats)
    writer.write(b"CONNECT {}\r\nPING\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()

    assert b"Authorization Violation" in answer


async def test_killed_broker_is_back_in_seconds_with_every_acknowledged_event(settings, running):
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
