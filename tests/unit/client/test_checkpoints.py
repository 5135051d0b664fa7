"""What the log says about a run's checkpoints, and what the store says about one."""

from pathlib import Path

import pytest

from ropewalk.client.checkpoints import checkpoints_of, chosen_checkpoint, difference, examined, run_of, sound_manifest
from ropewalk.client.errors import ClientError
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointPinned,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
)
from ropewalk.storage.local import LocalObjects


def a_saved(step: int, sha256: str = "0") -> CheckpointSaved:
    return CheckpointSaved(
        run_id="r",
        checkpoint_id=f"r-1-{step}",
        epoch=1,
        step=step,
        uri=f"runs/r/checkpoints/1-{step}",
        manifest_sha256=sha256,
        num_bytes=5,
        blocked_s=0.0,
    )


def a_commit(step: int) -> CheckpointCommitted:
    saved = a_saved(step)
    return CheckpointCommitted(
        run_id="r", checkpoint_id=saved.checkpoint_id, step=step, uri=saved.uri, manifest_sha256="0"
    )


def test_each_checkpoint_has_its_state_and_the_reason_why_it_stays(log) -> None:
    quarantined = CheckpointQuarantined(
        run_id="r", checkpoint_id="r-1-20", step=20, uri="quarantine/x", file="a", reason="is missing"
    )
    pinned = CheckpointPinned(run_id="r", checkpoint_id="r-1-10", pinned=True)
    rows = checkpoints_of(log(a_saved(10), a_commit(10), a_saved(20), quarantined, pinned, a_saved(30)), now=1000.0)
    assert [(row.step, row.state, row.kept_as, row.pinned) for row in rows] == [
        (10, "verified", "last", True),
        (20, "quarantined", "", False),
        (30, "saved", "", False),
    ]
    assert (rows[1].uri, rows[1].reason) == ("quarantine/x", "a is missing")
    assert chosen_checkpoint(rows, "r-1-30") == rows[2]
    with pytest.raises(ClientError, match="there is no checkpoint 'r-1-40'"):
        chosen_checkpoint(rows, "r-1-40")


def test_the_run_of_a_checkpoint_is_in_its_id() -> None:
    assert run_of("pycode-261123-101500-1a2b-1-300") == "pycode-261123-101500-1a2b"
    with pytest.raises(ClientError, match="is no checkpoint id"):
        run_of("pycode")


def test_a_fault_and_a_difference_are_named(log, tmp_path: Path) -> None:
    objects, manifests = LocalObjects(tmp_path / "objects"), []
    for step in (10, 20):
        folder = tmp_path / "new"
        folder.mkdir()
        (folder / "same").write_text("same")
        (folder / "model").write_text(f"weights {step}")
        manifests.append(objects.publish(folder, f"runs/r/checkpoints/1-{step}", {"step": step, "run_id": "r"}))
    found = difference(*manifests)
    assert (found["same"], found["different"], found["meta"]) == (["same"], ["model"], {"step": [10, 20]})
    (row,) = checkpoints_of(log(a_saved(10, manifests[0].sha256)), now=0.0)
    assert examined(objects, row)[1] == ""
    (objects.fetch(row.uri) / "model").write_text("weights 1O")
    assert examined(objects, row)[1] == "model has another SHA-256 than the manifest says"
    objects.delete(row.uri)
    assert examined(objects, row)[1] == "is not in the object store"


def test_a_pruned_checkpoint_is_called_pruned_and_not_missing(log, tmp_path: Path) -> None:
    pruned = CheckpointPruned(run_id="r", checkpoint_id="r-1-10", step=10, uri="u")
    (row,) = checkpoints_of(log(a_saved(10), a_commit(10), pruned), now=0.0)
    assert examined(LocalObjects(tmp_path), row) == (None, "is pruned")
    with pytest.raises(ClientError, match="r-1-10 is pruned"):
        sound_manifest(LocalObjects(tmp_path), row)
