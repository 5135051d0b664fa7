"""The log in a folder and back: on a second server it is the same, byte for byte."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from ropewalk.admin import backup
from ropewalk.admin.backup import BACKED_UP, BackupError, back_up, restore
from ropewalk.admin.snapshots import accepted
from ropewalk.admin.topology import drift
from ropewalk.bus.bus import Bus
from ropewalk.bus.errors import BusError
from ropewalk.cli.exit_codes import USAGE
from ropewalk.events.checkpoint import CheckpointPruned
from ropewalk.events.label import LabelGiven
from ropewalk.events.streams import LEASE_STREAM
from ropewalk.storage.manifest import MANIFEST, ManifestError

NUM_MESSAGES = 300
MANY_MESSAGES = 3000
NUM_ACKED = 10


def silent(stream: str, num_bytes: int) -> None:
    """Nobody watches."""


@pytest.fixture
async def filled(bus) -> Bus:
    return await fill(bus, NUM_MESSAGES)


async def fill(bus: Bus, num_messages: int) -> Bus:
    """Facts, a consumer in the middle of them, a dead letter, a timer far away and used leases."""
    context = bus.connection.jetstream()
    for start in range(0, num_messages, 300):
        await asyncio.gather(*(publish_one(bus, number) for number in range(start, start + 300)))
    await bus.publish_all([pruned(f"batch-{number}") for number in range(5)], cause_id="one cause")
    config = ConsumerConfig(durable_name="reader", ack_policy=AckPolicy.EXPLICIT, filter_subject="evt.>")
    await context.add_consumer("CONTROL", config)
    reader = await context.pull_subscribe_bind("reader", "CONTROL")
    for message in await reader.fetch(NUM_ACKED):
        await message.ack_sync()
    letter = (await reader.fetch(1))[0]
    await bus.dead_letter("CONTROL", "reader", letter, "no reason: 日本語")
    at = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in range(num_messages // 10):
        await bus.publish(a_label(number + 1))
    await context.publish(
        "sched.deadline.run-1",
        b"{}",
        headers={"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": "due.deadline.run-1"},
    )
    for number in range(7):
        await context.publish(f"$KV.lease.train.run-{number}", b"{}", headers={"Nats-TTL": "1h"})
    await mirrored(bus)
    return bus


async def publish_one(bus: Bus, number: int) -> None:
    headers = {"Nats-TTL": "never", "x-note": f"number {number}"}
    body = json.dumps({"run_id": f"r-{number}", "text": "é" * (number % 200)}).encode()
    await bus.connection.jetstream().publish(f"evt.run.failed.v1.r-{number % 100}", body, headers=headers)


def pruned(run_id: str) -> CheckpointPruned:
    return CheckpointPruned(run_id=run_id, checkpoint_id="c", step=1, uri="u")


def a_label(position: int) -> LabelGiven:
    return LabelGiven(
        task_set_id="letters", version=1, sheet_id=f"s{position}", item_id="i", criterion="correctness", scale="0-3",
        rater="ann", grade=2, seconds=1.5, position=position,
    )  # fmt: skip


async def mirrored(bus: Bus) -> None:
    context = bus.connection.jetstream()
    last = (await context.stream_info("CONTROL")).state.last_seq
    deadline = asyncio.get_running_loop().time() + 20
    while (await context.stream_info("AUDIT")).state.last_seq < last:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def content(bus: Bus, stream: str) -> list[dict[str, Any]]:
    """Subjects, headers, bodies, sequences and times to the nanosecond, as the server gives them."""
    state = (await bus.connection.jetstream().stream_info(stream)).state
    wanted = range(max(state.first_seq, 1), state.last_seq + 1)

    async def one(sequence: int) -> dict[str, Any]:
        request = json.dumps({"seq": sequence}).encode()
        reply = await bus.connection.request(f"$JS.API.STREAM.MSG.GET.{stream}", request, timeout=20)
        message: dict[str, Any] = json.loads(reply.data)["message"]
        return message | {"hdrs": base64.b64decode(message.get("hdrs", ""))}

    return list(await asyncio.gather(*map(one, wanted)))


async def test_a_restored_log_is_the_same_byte_for_byte_and_goes_on(bus, nats_server, empty_server, tmp_path) -> None:
    await fill(bus, MANY_MESSAGES)
    await back_up(nats_server.settings, tmp_path / "kept", silent)
    await restore(empty_server.settings, tmp_path / "kept", silent)
    restored = await Bus.connect(empty_server.settings, "test")
    for stream in BACKED_UP:
        before = await content(bus, stream)
        assert await content(restored, stream) == before
        assert before, stream
    assert [str(each) for each in await drift(empty_server.settings)] == ["consumer CONTROL/reader: unknown"]

    context = restored.connection.jetstream()
    consumer = await context.consumer_info("CONTROL", "reader")
    was = await bus.connection.jetstream().consumer_info("CONTROL", "reader")
    assert consumer.ack_floor.stream_seq == was.ack_floor.stream_seq == NUM_ACKED
    assert consumer.num_pending == was.num_pending

    await restored.publish(pruned("after"))
    await mirrored(restored)
    audit, control = [await content(restored, stream) for stream in ("AUDIT", "CONTROL")]
    assert without_headers(audit) == without_headers(control)
    await restored.close()


def without_headers(messages: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """A mirror leaves out the headers of an atomic batch."""
    return [tuple(message[name] for name in ("subject", "seq", "data", "time")) for message in messages]


async def test_no_lease_comes_back_and_epochs_go_on_growing(filled, nats_server, empty_server, tmp_path) -> None:
    await back_up(nats_server.settings, tmp_path / "kept", silent)
    await restore(empty_server.settings, tmp_path / "kept", silent)
    restored = await Bus.connect(empty_server.settings, "test")
    old = (await filled.connection.jetstream().stream_info(LEASE_STREAM)).state
    new = (await restored.connection.jetstream().stream_info(LEASE_STREAM)).state
    assert (old.messages, new.messages) == (7, 0)
    taken = await restored.connection.jetstream().publish("$KV.lease.train.run-0", b"{}", headers={"Nats-TTL": "1h"})
    assert taken.seq > old.last_seq
    await restored.close()


async def test_a_timer_that_became_due_meanwhile_fires_after_the_restore(
    bus, nats_server, empty_server, tmp_path, eventually
) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": "due.stall.run-1"}
    await bus.connection.jetstream().publish("sched.stall.run-1", b"{}", headers=headers)
    await back_up(nats_server.settings, tmp_path / "kept", silent)
    nats_server.stop()
    await restore(empty_server.settings, tmp_path / "kept", silent)
    restored = await Bus.connect(empty_server.settings, "test")

    async def fired() -> bool:
        info = await restored.connection.jetstream().stream_info("SCHED", subjects_filter="due.>")
        return bool(info.state.subjects)

    assert not await fired()
    await eventually(fired, 20)
    info = await restored.connection.jetstream().stream_info("SCHED", subjects_filter="due.>")
    assert info.state.subjects == {"due.stall.run-1": 1}
    await restored.close()


async def test_labels_survive_a_restore_of_a_backup_that_is_older_than_their_stream(
    filled, nats_server, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(backup, "BACKED_UP", tuple(name for name in BACKED_UP if name != "SCORES"))
    await back_up(nats_server.settings, tmp_path / "old", silent)
    before = await content(filled, "SCORES")
    await filled.publish(pruned("later"))
    await mirrored(filled)
    await restore(nats_server.settings, tmp_path / "old", silent, replace=True)
    assert (await content(filled, "SCORES"), len(before)) == (before, NUM_MESSAGES // 10)


async def test_a_server_that_holds_messages_is_only_replaced_on_demand(
    filled, nats_server, empty_server, tmp_path
) -> None:
    folder = tmp_path / "kept"
    await back_up(nats_server.settings, folder, silent)
    await filled.publish(pruned("later"))
    await mirrored(filled)
    with pytest.raises(BackupError, match=r"AUDIT at nats://.* holds \d+ messages already: .*--replace"):
        await restore(nats_server.settings, folder, silent)

    await restore(nats_server.settings, folder, silent, replace=True)

    assert len(await content(filled, "CONTROL")) == len(await content(filled, "AUDIT")) == NUM_MESSAGES + 5
    await restore(nats_server.settings, folder, silent)  # it is as the backup has it: nothing to refuse


async def test_nothing_is_restored_under_services_at_work(filled, nats_server, tmp_path, eventually) -> None:
    folder = tmp_path / "kept"
    await back_up(nats_server.settings, folder, silent)
    context = filled.connection.jetstream()
    service = await context.pull_subscribe("cmd.run.cancel.>", durable="service")
    waiting = asyncio.create_task(service.fetch(1, timeout=5))

    async def at_work() -> bool:
        return bool((await context.consumer_info("CONTROL", "service")).num_waiting)

    await eventually(at_work)
    with pytest.raises(BackupError, match=r"services are at work on this bus \(service\)"):
        await restore(nats_server.settings, folder, silent, replace=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


class Interruption(Exception):
    """Somebody pressed Ctrl-C."""


@pytest.mark.parametrize("at", BACKED_UP)
async def test_an_interrupted_backup_and_an_interrupted_restore_are_begun_again(
    at, filled, nats_server, empty_server, tmp_path
) -> None:
    folder = tmp_path / "kept"

    def interrupt(stream: str, num_bytes: int) -> None:
        if stream == at:
            raise Interruption

    with pytest.raises(Interruption):
        await back_up(nats_server.settings, folder, interrupt)
    with pytest.raises(ManifestError, match="never completed"):
        await restore(empty_server.settings, folder, silent)
    await back_up(nats_server.settings, folder, silent)
    with pytest.raises(BackupError, match="choose another name"):
        await back_up(nats_server.settings, folder, silent)

    with pytest.raises(Interruption):
        await restore(empty_server.settings, folder, interrupt)
    await restore(empty_server.settings, folder, silent)
    restored = await Bus.connect(empty_server.settings, "test")
    assert await content(restored, "CONTROL") == await content(filled, "CONTROL")
    await restored.close()


async def test_a_damaged_backup_touches_nothing(filled, nats_server, empty_server, tmp_path) -> None:
    folder = tmp_path / "kept"
    await back_up(nats_server.settings, folder, silent)
    file = folder / "CONTROL.snapshot"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ManifestError, match=r"CONTROL\.snapshot"):
        await restore(empty_server.settings, folder, silent)
    bus = await Bus.connect(empty_server.settings, "test")
    assert await bus.connection.jetstream().streams_info() == []
    await bus.close()


async def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing_behind(
    filled, nats_server, tmp_path, monkeypatch
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setattr("ropewalk.admin.backup._clear", lambda _: None)  # it would take the full device away
    (folder / "CONTROL.snapshot").symlink_to("/dev/full")
    with pytest.raises(BackupError, match=r"no space is left for the backup in .*: free some and run it again"):
        await back_up(nats_server.settings, folder, silent)
    assert not (folder / MANIFEST).exists()


async def test_a_server_that_dies_in_the_middle_is_said_in_a_sentence(filled, nats_server, tmp_path) -> None:
    def kill(stream: str, num_bytes: int) -> None:
        if stream == "AUDIT":
            nats_server.stop()

    with pytest.raises(BusError, match="the bus stopped answering during the snapshot of"):
        await back_up(nats_server.settings, tmp_path / "kept", kill)


def test_a_disk_that_is_too_slow_for_the_server_is_said_with_the_remedy() -> None:
    """nats-server breaks a restore off when storing one block of it takes more than five seconds."""
    answer = b'{"error": {"code": 500, "description": "restore failed: io: read/write on closed pipe"}}'
    with pytest.raises(BusError, match="start it without `sync_interval: always` for the restore"):
        accepted(Msg(_client=Client(), data=answer), "CONTROL")


def command(settings, *arguments: str) -> tuple[int, str, str]:
    environment = os.environ | {
        "ROPEWALK_NATS_URL": settings.url,
        "ROPEWALK_NATS_USER": settings.user,
        "ROPEWALK_NATS_PASSWORD": settings.password,
    }
    done = subprocess.run(
        [sys.executable, "-m", "ropewalk.cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_an_operator_keeps_and_restores_the_log(nats_server, empty_server, tmp_path) -> None:
    folder = tmp_path / "kept"

    async def one_fact() -> None:
        bus = await Bus.connect(nats_server.settings, "test")
        await bus.publish(pruned("only"))
        await mirrored(bus)
        await bus.close()

    asyncio.run(one_fact())
    code, kept, _ = command(nats_server.settings, "backup", str(folder), "--json")
    assert code == 0
    assert {each["name"]: each["num_messages"] for each in json.loads(kept)["streams"]} == {
        "AUDIT": 1,
        "CONTROL": 1,
        "DLQ": 0,
        "SCHED": 0,
        "SCORES": 0,
    }
    code, told, _ = command(empty_server.settings, "restore", str(folder))
    assert (code, f"restored from {folder}" in told) == (0, True)
    code, _, error = command(nats_server.settings, "backup", str(Path(__file__).parent))
    assert (code, "is not empty" in error) == (USAGE, True)
