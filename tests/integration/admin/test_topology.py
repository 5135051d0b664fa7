"""The declared topology against a real server."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from nats.js.api import ConsumerConfig, StreamConfig

from ropewalk.admin.contracts import CONSUMERS
from ropewalk.admin.topology import apply_topology, drift
from ropewalk.bus.bulk import address_of
from ropewalk.bus.bus import Bus
from ropewalk.bus.errors import BusError
from ropewalk.bus.wire import Wire
from ropewalk.events.consumers import handler
from ropewalk.events.run import RunFailed, SubmitRun
from ropewalk.events.score import ScoreBatch
from ropewalk.status.look import queues
from ropewalk.status.seen import ConsumerLag


@pytest.fixture
def bus_command(nats_server, address_of, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `ropewalk bus …` against the server."""
    environment = os.environ | address_of(nats_server) | {"ROPEWALK_STATE_DIR": str(tmp_path), "COLUMNS": "200"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ropewalk.cli.main", "bus", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


async def test_a_server_that_was_applied_has_no_drift_and_a_second_apply_changes_nothing(nats_server) -> None:
    assert await drift(nats_server.settings) == []
    assert await apply_topology(nats_server.settings) == []


async def test_every_kind_of_drift_is_listed_and_apply_heals_what_it_may(nats_server, bus) -> None:
    context = bus.connection.jetstream()
    await context.delete_consumer("CONTROL", "ingest__submit")
    await context.add_consumer("CONTROL", ConsumerConfig(durable_name="somebody__else"))
    await context.add_stream(StreamConfig(name="SURPRISE", subjects=["surprise.>"]))
    await context.delete_stream("TEL")
    changed = dataclasses.replace(next(spec for spec in CONSUMERS if spec.durable == "ingest__cancel"), ack_wait_s=7)
    await apply_topology(nats_server.settings, consumers=[changed])
    await context.delete_stream("DLQ")
    shown = {str(difference) for difference in await drift(nats_server.settings)}
    assert shown == {
        "consumer CONTROL/ingest__submit: missing",
        "consumer CONTROL/ingest__cancel: ack_wait is 7.0, not 10.0",
        "consumer CONTROL/somebody__else: unknown",
        "stream SURPRISE: unknown",
        "stream DLQ: missing",
        "consumer TEL/monitor__steps: missing",
        "consumer TEL/monitor__signals: missing",
    }
    lines = await apply_topology(nats_server.settings)
    assert "updated consumer CONTROL/ingest__cancel: ack_wait" in lines
    left = {str(difference) for difference in await drift(nats_server.settings)}
    assert left == {"consumer CONTROL/somebody__else: unknown", "stream SURPRISE: unknown"}


async def test_a_bus_of_a_release_without_scores_gets_their_stream_and_keeps_what_it_holds(nats_server, bus) -> None:
    context = bus.connection.jetstream()
    await context.delete_stream("SCORES")
    await bus.publish(RunFailed(run_id="before", stage="s", message="m"))
    lines = await apply_topology(nats_server.settings)
    assert sorted(lines) == [
        "created consumer SCORES/monitor__labels",
        "created consumer SCORES/monitor__scores",
        "created stream SCORES",
    ]
    whose = {"run_id": "r", "checkpoint_id": "c", "look": 1, "scorer": "candidate"}
    said = ScoreBatch(**whose, metric="acc", task_set="copying@1", first=0, scores=())
    await bus.publish(said)
    assert (await context.stream_info("SCORES")).state.messages == 1
    assert await bus.last(RunFailed, "before") is not None


async def test_a_change_that_the_server_refuses_is_told_with_its_remedy(nats_server) -> None:
    spec = next(spec for spec in CONSUMERS if spec.durable == "ingest__cancel")
    with pytest.raises(BusError, match=r"deliver_policy is all, not new.*remove it"):
        await apply_topology(nats_server.settings, consumers=[dataclasses.replace(spec, deliver="new")])


async def test_lag_counts_what_waits_and_how_old_the_oldest_is(nats_server, bus: Bus) -> None:
    spec = handler("sample", "lagging", RunFailed)
    await apply_topology(nats_server.settings, consumers=[spec])
    for number in range(3):
        await bus.publish(RunFailed(run_id=f"r{number}", stage="s", message="m"))
    await bus.publish(SubmitRun(run_id="r", recipe={}))
    await (await bus.connection.jetstream().pull_subscribe_bind(spec.durable, spec.stream)).fetch(1)

    def look() -> dict[str, ConsumerLag]:
        with Wire(address_of(nats_server.settings)) as wire:
            return {row.consumer: row for row in queues(wire)}

    lag = await asyncio.to_thread(look)
    assert (lag["sample__lagging"].pending, lag["sample__lagging"].ack_pending) == (2, 1)
    assert lag["ingest__submit"].pending == 1
    assert 0 < lag["sample__lagging"].oldest_s < 20
    assert lag["trainer__train"].oldest_s == 0


async def test_the_commands_name_each_difference_heal_them_and_tell_by_their_exit_code(bus, bus_command) -> None:
    in_order = await asyncio.to_thread(bus_command, "drift")
    assert (in_order.returncode, in_order.stdout) == (0, "every stream and consumer is as it should be\n")
    await bus.connection.jetstream().delete_consumer("CONTROL", "ingest__submit")
    found = await asyncio.to_thread(bus_command, "drift")
    assert (found.returncode, found.stdout) == (1, "consumer CONTROL/ingest__submit: missing\n")
    as_json = json.loads((await asyncio.to_thread(bus_command, "drift", "--json")).stdout)
    assert [each["name"] for each in as_json["differences"]] == ["CONTROL/ingest__submit"]
    healed = await asyncio.to_thread(bus_command, "apply")
    assert (healed.returncode, healed.stdout) == (0, "created consumer CONTROL/ingest__submit\n")


async def test_the_command_shows_who_is_behind_and_for_how_long(bus, bus_command) -> None:
    await bus.publish(SubmitRun(run_id="r", recipe={}))
    shown = await asyncio.to_thread(bus_command, "lag")
    assert shown.returncode == 0, shown.stderr
    row = next(line.split() for line in shown.stdout.splitlines() if line.startswith("ingest__submit"))
    assert row[:5] == ["ingest__submit", "CONTROL", "1", "0", "0"]
    assert float(row[5]) >= 0
    rows = json.loads((await asyncio.to_thread(bus_command, "lag", "--json")).stdout)["consumers"]
    assert next(row["pending"] for row in rows if row["consumer"] == "ingest__submit") == 1
