"""Timers on a real server, handled by a real service."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ropewalk.bus.bus import Bus
from ropewalk.bus.schedules import arm, disarm
from ropewalk.events.run import StageStalled

SERVICE = Path(__file__).parent / "timer_service.py"


@pytest.fixture
def timer_service(nats_server, address_of, tmp_path: Path) -> Iterator[None]:
    """A service that says `StageStalled` for every timer `watch` that comes due."""
    environment = os.environ | address_of(nats_server) | {"ROPEWALK_STATE_DIR": str(tmp_path)}
    with (tmp_path / "service.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, SERVICE], env=environment, stdout=log, stderr=log)
    yield
    process.terminate()
    assert process.wait(20) == 0, (tmp_path / "service.log").read_text()


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def fired(bus: Bus, entity: str) -> list[str]:
    return [item.message.stage async for item in bus.read(f"evt.run.stage_stalled.v1.{entity}")]


async def test_a_timer_fires_with_its_body_when_it_is_due_and_once(bus, timer_service, eventually) -> None:
    due = in_seconds(1.0)
    await arm(bus, "watch", "r", due, b"a body")
    await arm(bus, "watch", "later", in_seconds(1.5))

    async def both() -> bool:
        return bool(await fired(bus, "later"))

    await eventually(both)
    [stalled] = [item async for item in bus.read(f"{StageStalled.subject_prefix()}.r")]
    assert stalled.message.stage == "a body"
    assert stalled.time >= due


async def test_arming_again_replaces_a_timer_and_a_disarmed_one_never_fires(bus, timer_service, eventually) -> None:
    await arm(bus, "watch", "again", in_seconds(0.3), b"first")
    await arm(bus, "watch", "again", in_seconds(1.2), b"second")
    await arm(bus, "watch", "never", in_seconds(0.5))
    await disarm(bus, "watch", "never")
    await disarm(bus, "watch", "unknown")

    async def second() -> bool:
        return await fired(bus, "again") == ["second"]

    await eventually(second)
    assert await fired(bus, "never") == []


async def test_a_time_that_is_over_fires_at_once(bus, timer_service, eventually) -> None:
    await arm(bus, "watch", "past", in_seconds(-60), b"late")

    async def late() -> bool:
        return await fired(bus, "past") == ["late"]

    await eventually(late)
    assert await fired(bus, "past") == ["late"]


async def test_a_timer_survives_a_server_that_is_killed_before_and_while_it_comes_due(
    nats_server, bus, timer_service, eventually
) -> None:
    await arm(bus, "watch", "before", in_seconds(2.5), b"b")
    due = in_seconds(0.2)
    await arm(bus, "watch", "during", due, b"d")
    nats_server.stop()
    while datetime.now(UTC) < due:
        await asyncio.sleep(0.02)
    nats_server.start()
    restarted = time.monotonic()

    async def both() -> bool:
        return (await fired(bus, "before"), await fired(bus, "during")) == (["b"], ["d"])

    await eventually(both)
    assert time.monotonic() - restarted < 10
