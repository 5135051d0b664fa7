"""SIGTERM: a service ends what it has in hand, gives its leases back and leaves with 0; a second one hurries it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import nats.errors
import pytest

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.events.run import RunAccepted, StageCompleted, StageInterrupted, StageStarted
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.stages.leases import lease_subject

SERVICE = Path(__file__).parent / "draining_service.py"
GRACE_S = 4.0
ACK_WAIT_S = 30.0
LEASE_TTL_S = 20.0  # so long that a take-over within seconds is a lease given back


@dataclass(frozen=True)
class Instance:
    """One running process of the service."""

    process: subprocess.Popen[bytes]
    begun: Path

    def has_begun(self, run_id: str) -> bool:
        return self.begun.exists() and run_id in self.begun.read_text().split()

    def seconds_to_end(self, *signals: signal.Signals) -> float:
        """Send signals half a second apart; how long it takes to end. It must end well."""
        began = time.monotonic()
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.5)
        assert self.process.wait(60) == 0
        return time.monotonic() - began


@pytest.fixture
async def start(nats_server, tmp_path, load_script) -> AsyncIterator[Callable[..., Instance]]:
    """Start an instance whose handler takes so many seconds."""
    await apply_topology(nats_server.settings, load_script(SERVICE).build(0, tmp_path).consumers())
    begun: list[Instance] = []

    def run(handler_s: float) -> Instance:
        environment = os.environ | {
            "ROPEWALK_NATS_URL": nats_server.settings.url,
            "ROPEWALK_NATS_USER": nats_server.settings.user,
            "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
            "ROPEWALK_STATE_DIR": str(tmp_path),
            "ROPEWALK_LEASE_TTL_S": str(LEASE_TTL_S),
            "ROPEWALK_STOP_GRACE_S": str(GRACE_S),
            "ROPEWALK_INSTANCE": str(len(begun)),
        }
        notes = tmp_path / f"begun-{len(begun)}"
        with (tmp_path / "service.log").open("ab") as log:
            command = [sys.executable, SERVICE, str(handler_s), notes]
            instance = Instance(subprocess.Popen(command, env=environment, stdout=log, stderr=log), notes)
        begun.append(instance)
        return instance

    yield run
    for instance in begun:
        instance.process.kill()
        instance.process.wait()


async def ready(bus: Bus, eventually) -> None:
    async def answers() -> bool:
        try:
            return bool((await bus.connection.request("ctl.ping.draining", b"", timeout=1)).data)
        except nats.errors.Error:
            return False

    await eventually(answers, 40)


def an_event(run_id: str) -> StageInterrupted:
    return StageInterrupted(run_id=run_id, stage="none", epoch=1, cause="test")


async def endings(bus: Bus, run_id: str) -> int:
    return len([item async for item in bus.read(f"{StageCompleted.subject_prefix()}.{run_id}")])


async def test_a_handler_in_hand_is_finished_and_nothing_new_is_begun(bus: Bus, start, eventually) -> None:
    instance = start(2.0)
    await ready(bus, eventually)
    await bus.publish(an_event("in-hand"))

    async def begun() -> bool:
        return instance.has_begun("in-hand")

    await eventually(begun, 20)
    instance.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.6)
    await bus.publish(an_event("too-late"))
    took_s = await asyncio.to_thread(instance.seconds_to_end)
    assert took_s < GRACE_S
    assert await endings(bus, "in-hand") == 1
    assert not instance.has_begun("too-late")

    other = start(0.0)

    async def done() -> bool:
        return await endings(bus, "too-late") == 1

    await eventually(done, 40)
    assert not other.has_begun("in-hand")  # it was acknowledged


@pytest.mark.parametrize("run_id", ["long", "in-a-thread"])
async def test_a_handler_that_takes_longer_than_the_grace_is_left_to_another_instance(
    bus: Bus, start, eventually, run_id: str
) -> None:
    instance = start(60.0)
    await ready(bus, eventually)
    await bus.publish(an_event(run_id))

    async def begun() -> bool:
        return instance.has_begun(run_id)

    await eventually(begun, 20)
    assert await asyncio.to_thread(instance.seconds_to_end, signal.SIGTERM) < GRACE_S + 3
    began = time.monotonic()
    start(0.0)

    async def done() -> bool:
        return await endings(bus, run_id) == 1

    await eventually(done, 40)
    assert time.monotonic() - began < ACK_WAIT_S / 2  # it was handed back


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_hurries(bus: Bus, start, eventually, number: signal.Signals) -> None:
    instance = start(60.0)
    await ready(bus, eventually)
    await bus.publish(an_event("long"))

    async def begun() -> bool:
        return instance.has_begun("long")

    await eventually(begun, 20)
    assert await asyncio.to_thread(instance.seconds_to_end, signal.SIGTERM, number) < GRACE_S - 1


async def test_a_stage_in_hand_goes_on_elsewhere_without_waiting_for_its_lease(bus: Bus, start, eventually) -> None:
    instances = {"draining/0": start(0.0), "draining/1": start(0.0)}
    await ready(bus, eventually)
    recipe = resolve_recipe({"base": "python-stdlib-tiny"})
    await bus.publish(RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=recipe.sha256()))

    async def num_starts() -> int:
        return len([item async for item in bus.read(f"{StageStarted.subject_prefix()}.r")])

    async def started() -> bool:
        return await num_starts() == 1

    await eventually(started, 40)
    lease = await bus.connection.jetstream().get_last_msg(LEASE_STREAM, lease_subject("endless", "r"))
    holder = instances[json.loads(lease.data)["holder"]]
    began = time.monotonic()
    holder.process.send_signal(signal.SIGTERM)

    async def again() -> bool:
        return await num_starts() == 2

    await eventually(again, 30)
    assert time.monotonic() - began < LEASE_TTL_S / 2
    interrupted = await bus.last(StageInterrupted, "r")
    assert interrupted is not None
    assert "expired" not in interrupted.cause
    assert await asyncio.to_thread(holder.process.wait, 20) == 0
