"""Which checkpoint a run resumes from, on a real object store."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ropewalk.corpus.ledger import LEDGER, LedgerRow, encode_ledger
from ropewalk.events.checkpoint import CheckpointQuarantined
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import MANIFEST, verify
from ropewalk.trainer.adapters.checkpoints import RunCheckpoints
from ropewalk.trainer.adapters.fence import check_epoch
from ropewalk.trainer.adapters.worker.job import WorkerError


def write_checkpoint(objects: LocalObjects, step: int, *, epoch: int = 1, parent: str = "") -> str:
    """Ten steps since the parent. Returns the checkpoint's id."""
    folder = objects.root.parent / "new"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / LEDGER).write_bytes(encode_ledger(LedgerRow(place, (1, 2)) for place in range(step - 10, step)))
    checkpoint_id = f"r-{epoch}-{step}"
    meta = {"run_id": "r", "step": step, "epoch": epoch, "checkpoint_id": checkpoint_id, "parent_id": parent}
    objects.publish(folder, f"runs/r/checkpoints/{epoch}-{step}", meta)
    return checkpoint_id


def flip_a_byte(objects: LocalObjects, key: str) -> None:
    path = objects.root / key / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(bytes(content))


def test_a_run_without_checkpoints_starts_from_scratch(tmp_path: Path) -> None:
    assert RunCheckpoints(LocalObjects(tmp_path / "objects"), "r", 1).newest_whole(lambda _: None) is None


def test_the_furthest_step_wins_and_at_the_same_step_the_younger_epoch(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    for epoch, step in ((1, 10), (1, 100), (2, 20), (2, 100)):
        write_checkpoint(objects, step, epoch=epoch)
    newest = RunCheckpoints(objects, "r", 3).newest_whole(lambda _: None)
    assert newest is not None
    assert newest.place.key.endswith("/2-100")
    assert newest.place.step == 100


def test_a_broken_checkpoint_is_set_aside_and_the_one_before_it_is_taken(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    for step in (10, 20):
        write_checkpoint(objects, step)
    flip_a_byte(objects, "runs/r/checkpoints/1-20")
    broken: list[CheckpointQuarantined] = []
    newest = RunCheckpoints(objects, "r", 1).newest_whole(broken.append)
    assert newest is not None
    assert newest.place.step == 10
    assert [(item.checkpoint_id, item.file) for item in broken] == [("r-1-20", "model.safetensors")]
    assert objects.exists("quarantine/checkpoints/r-1-20")
    assert not objects.exists("runs/r/checkpoints/1-20")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def dig(folder: Path, name: str, levels: int) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        above, here = here, os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)


def link(folder: Path, to: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(to)


def rewrite(folder: Path, **meta: str) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | {"meta": content["meta"] | meta}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "link out": lambda folder: link(folder, folder.parents[4]),
    "link loop": lambda folder: link(folder, folder),
    "pipe": lambda folder: pipe(folder / MANIFEST),
    "no UTF-8": lambda folder: (folder / os.fsdecode(b"\xff")).touch(),
    "long paths": lambda folder: dig(folder, "d" * 250, 20),  # as what may not be read: the system refuses to list it
    "deep": lambda folder: dig(folder, "d", 150),
    "loss": lambda folder: rewrite(folder, held_out_loss="nan-ish"),
    "quarantine on another disk": lambda folder: (
        (folder / LEDGER).unlink(),
        (folder.parents[3] / "quarantine").symlink_to(folder.parents[4]),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_by_what_a_file_system_can_hold_loses_the_run(tmp_path: Path, damage: str) -> None:
    objects = LocalObjects(tmp_path / "objects")
    for step in (10, 20):
        write_checkpoint(objects, step)
    DAMAGES[damage](objects.root / "runs/r/checkpoints/1-20")
    broken: list[CheckpointQuarantined] = []
    newest = RunCheckpoints(objects, "r", 2).newest_whole(broken.append)
    assert newest is not None
    assert newest.place.step == 10
    assert [item.checkpoint_id for item in broken] == ["r-1-20"]
    assert broken[0].model_dump_json()


def test_a_pipe_in_place_of_an_epochs_mark_stops_nobody(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    RunCheckpoints(objects, "r", 2)
    pipe(objects.root / "runs/r/epochs/2" / MANIFEST)
    RunCheckpoints(objects, "r", 2)
    assert objects.exists("runs/r/epochs/2")


def test_what_a_fenced_off_holder_writes_later_is_not_resumed_from(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    write_checkpoint(objects, 10, epoch=1)
    mine = RunCheckpoints(objects, "r", 2)
    write_checkpoint(objects, 20, epoch=1)
    write_checkpoint(objects, 30, epoch=3)
    newest = mine.newest_whole(lambda _: None)
    assert newest is not None
    assert newest.place.step == 10


def test_the_ancestry_names_every_checkpoint_that_still_exists_oldest_first(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    pruned = write_checkpoint(objects, 10)
    first = write_checkpoint(objects, 20, parent=pruned)
    write_checkpoint(objects, 30, parent=first)  # lost: nobody resumed from it
    write_checkpoint(objects, 40, epoch=2, parent=first)
    objects.delete("runs/r/checkpoints/1-10")
    checkpoints = RunCheckpoints(objects, "r", 3)
    newest = checkpoints.newest_whole(lambda _: None)
    assert newest is not None
    found = checkpoints.ancestry(newest, lambda _: None)
    assert [item.saved.checkpoint_id for item in found] == ["r-1-20", "r-2-40"]
    committed = found[0].committed
    assert committed is not None
    assert (committed.first_step, committed.last_step, committed.num_samples) == (10, 19, 20)
    assert found[1].saved.manifest_sha256 == newest.manifest.sha256


@pytest.mark.parametrize("damage", [b"\xff", b"x", b""])
@pytest.mark.parametrize("file", [LEDGER, MANIFEST])
def test_a_damaged_old_ancestor_is_set_aside_and_the_run_goes_on(tmp_path: Path, damage: bytes, file: str) -> None:
    objects = LocalObjects(tmp_path / "objects")
    oldest = write_checkpoint(objects, 10)
    old = write_checkpoint(objects, 20, parent=oldest)
    write_checkpoint(objects, 30, parent=old)
    path = objects.root / "runs/r/checkpoints/1-20" / file
    path.write_bytes(damage + path.read_bytes()[1:])
    broken: list[CheckpointQuarantined] = []
    checkpoints = RunCheckpoints(objects, "r", 2)
    newest = checkpoints.newest_whole(broken.append)
    assert newest is not None
    assert newest.place.step == 30
    found = checkpoints.ancestry(newest, broken.append)
    assert found[-1].saved.checkpoint_id == "r-1-30"
    assert [(item.checkpoint_id, item.file) for item in broken] == [("r-1-20", file)]
    assert objects.exists("quarantine/checkpoints/r-1-20")


def test_a_checkpoint_that_agrees_with_itself_but_not_with_the_log_is_set_aside(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    ids = [write_checkpoint(objects, step) for step in (10, 20)]
    sound = verify(objects.fetch("runs/r/checkpoints/1-10")).sha256
    broken: list[CheckpointQuarantined] = []
    announced = frozenset({(ids[0], sound), (ids[1], "0" * 64)})
    newest = RunCheckpoints(objects, "r", 2, announced).newest_whole(broken.append)
    assert newest is not None
    assert newest.place.step == 10
    assert [(item.checkpoint_id, item.reason) for item in broken] == [
        ("r-1-20", "is not the one that the log announced")
    ]


def test_a_checkpoint_that_lies_in_anothers_place_is_set_aside(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    for step in (10, 20):
        write_checkpoint(objects, step)
    shutil.copytree(objects.root / "runs/r/checkpoints/1-10", objects.root / "runs/r/checkpoints/1-30")
    (objects.root / "runs/r/checkpoints/notes-of-somebody").mkdir()
    broken: list[CheckpointQuarantined] = []
    newest = RunCheckpoints(objects, "r", 2).newest_whole(broken.append)
    assert newest is not None
    assert newest.place.step == 20
    assert [(item.checkpoint_id, item.file) for item in broken] == [("r-1-30", MANIFEST)]


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    write_checkpoint(objects, 10, parent="r-1-20")
    write_checkpoint(objects, 20, parent="r-1-10")
    checkpoints = RunCheckpoints(objects, "r", 2)
    newest = checkpoints.newest_whole(lambda _: None)
    assert newest is not None
    found = checkpoints.ancestry(newest, lambda _: None)
    assert [item.saved.checkpoint_id for item in found] == ["r-1-10", "r-1-20"]


def announced_ones(objects: LocalObjects, *ids: str) -> frozenset[tuple[str, str]]:
    """As the log has them."""
    keys = {name: f"runs/r/checkpoints/{name.removeprefix('r-')}" for name in ids}
    return frozenset((name, verify(objects.fetch(key)).sha256) for name, key in keys.items())


def test_a_checkpoint_saved_just_before_a_crash_counts_if_it_continues_an_announced_one(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    known = write_checkpoint(objects, 10)
    log = announced_ones(objects, known)
    write_checkpoint(objects, 20, parent=known)
    newest = RunCheckpoints(objects, "r", 2, log).newest_whole(lambda _: None)
    assert newest is not None
    assert newest.place.step == 20


@pytest.mark.parametrize("parent", ["", "r-1-5", "another-1-10"])
def test_a_checkpoint_that_nobody_announced_and_that_continues_none_is_set_aside(tmp_path: Path, parent: str) -> None:
    objects = LocalObjects(tmp_path / "objects")
    log = announced_ones(objects, write_checkpoint(objects, 10))
    write_checkpoint(objects, 20, parent=parent)
    broken: list[CheckpointQuarantined] = []
    newest = RunCheckpoints(objects, "r", 2, log).newest_whole(broken.append)
    assert newest is not None
    assert newest.place.step == 10
    assert [item.checkpoint_id for item in broken] == ["r-1-20"]


def test_an_announced_checkpoint_that_is_gone_without_a_word_is_missed_aloud_and_once(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    ids = [write_checkpoint(objects, step) for step in (10, 20, 30)]
    log = announced_ones(objects, *ids)
    for step in (20, 30):
        shutil.rmtree(objects.root / f"runs/r/checkpoints/1-{step}")
    broken: list[CheckpointQuarantined] = []
    checkpoints = RunCheckpoints(objects, "r", 2, log, gone={"r-1-20"})
    assert [checkpoints.newest_whole(broken.append) is not None for _ in range(2)] == [True, True]
    assert [item.checkpoint_id for item in broken] == ["r-1-30"]


def test_a_worker_of_an_earlier_epoch_may_not_publish_once_a_later_holder_came(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    RunCheckpoints(objects, "r", 1)
    check_epoch(objects, "r", 1)
    RunCheckpoints(objects, "r", 2)
    RunCheckpoints(objects, "r", 2)
    check_epoch(objects, "r", 2)
    with pytest.raises(WorkerError, match="epoch 2 by now, this worker is of epoch 1"):
        check_epoch(objects, "r", 1)
