"""The scrub on a real store, with a log in memory."""

import os
import shutil
from pathlib import Path

from ropewalk.checkpoint_manager.adapters.scrubbing import Scrub
from ropewalk.checkpoint_manager.domain.scrub import Inventory
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPruned,
    CheckpointQuarantined,
    ExportQuarantined,
)
from ropewalk.storage.local import LocalObjects


class Log:
    """The timeline of the other tests, and what the scrub says."""

    def __init__(self, timeline) -> None:
        self._timeline, self.told = timeline, []
        self.end, self.read, self.last = timeline.end, timeline.read, timeline.last

    async def publish(self, message, *, cause_id: str = "", key: str = "", epoch: int = 0) -> None:
        self.told.append(message)
        self._timeline.messages.append(message)


def a_folder(objects: LocalObjects, tmp_path: Path, uri: str) -> str:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(uri.encode() * 50)
    return objects.publish(folder, uri, {}).sha256


def a_checkpoint(objects: LocalObjects, tmp_path: Path, step: int) -> CheckpointCommitted:
    uri = f"runs/r/checkpoints/1-{step}"
    sha256 = a_folder(objects, tmp_path, uri)
    return CheckpointCommitted(run_id="r", checkpoint_id=f"r-1-{step}", step=step, uri=uri, manifest_sha256=sha256)


def an_export(objects: LocalObjects, tmp_path: Path) -> CheckpointExported:
    return CheckpointExported(
        run_id="r",
        checkpoint_id="r-1-20",
        checkpoint_uri="runs/r/checkpoints/1-20",
        step=20,
        uri="exports/r-1-20",
        manifest_sha256=a_folder(objects, tmp_path, "exports/r-1-20"),
        num_parameters=1,
        num_bytes=1,
    )


def a_scrub(objects: LocalObjects) -> Scrub:
    return Scrub(objects, every_s=0.0, bytes_per_s=1e9, confirm_s=0.0)


async def test_damage_to_an_old_checkpoint_and_to_an_export_is_told_and_set_aside(timeline, objects, tmp_path) -> None:
    timeline.messages += [a_checkpoint(objects, tmp_path, step) for step in (10, 20)]
    timeline.messages.append(an_export(objects, tmp_path))
    for uri in ("runs/r/checkpoints/1-10", "exports/r-1-20"):
        (objects.fetch(uri) / "model.safetensors").write_bytes(b"x")
    log, scrub = Log(timeline), a_scrub(objects)
    assert [await scrub.look_once(log) for _ in range(5)] == [True] * 5
    assert [(type(message), message.checkpoint_id) for message in log.told] == [
        (CheckpointQuarantined, "r-1-10"),
        (ExportQuarantined, "r-1-20"),
    ]
    assert objects.list("") == [
        "quarantine/checkpoints/r-1-10",
        "quarantine/exports/r-1-20",
        "runs/r/checkpoints/1-20",
    ]


async def test_a_link_a_foreign_name_and_a_quarantine_elsewhere_do_not_stop_the_scrub(
    timeline, objects, tmp_path
) -> None:
    timeline.messages += [a_checkpoint(objects, tmp_path, step) for step in (10, 20)]
    linked, strange = (objects.root / f"runs/r/checkpoints/1-{step}" for step in (10, 20))
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    (strange / os.fsdecode(b"\xff")).touch()
    (objects.root / "quarantine").symlink_to(tmp_path)
    log, scrub = Log(timeline), a_scrub(objects)
    for _ in range(3):
        await scrub.look_once(log)
    assert [message.file for message in log.told] == ["manifest.json", r"\udcff"]
    assert all("could not be moved" in message.reason and message.model_dump_json() for message in log.told)


async def test_what_was_pruned_between_two_looks_is_not_missed(timeline, objects, tmp_path) -> None:
    committed = a_checkpoint(objects, tmp_path, 10)
    timeline.messages.append(committed)
    log, scrub = Log(timeline), a_scrub(objects)
    assert await scrub.look_once(log)
    shutil.rmtree(objects.root / committed.uri)
    timeline.messages.append(CheckpointPruned(run_id="r", checkpoint_id="r-1-10", step=10, uri=committed.uri))
    assert not await scrub.look_once(log)
    assert log.told == []


def test_the_one_that_was_looked_at_longest_ago_is_due_first_and_none_too_early(objects, tmp_path) -> None:
    inventory = Inventory()
    for stored_at, step in ((100.0, 20), (50.0, 10)):
        inventory.add(a_checkpoint(objects, tmp_path, step), stored_at)
    assert inventory.due(now=120.0, every_s=100.0) is None
    first = inventory.due(now=160.0, every_s=100.0)
    assert first is not None
    assert first.step == 10
    inventory.looked(first, 160.0)
    assert inventory.due(now=160.0, every_s=100.0) is None
    assert inventory.due(now=210.0, every_s=100.0).step == 20
