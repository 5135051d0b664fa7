"""Only the stack's own regions are swept."""

import os
from pathlib import Path

import pytest

from ropewalk.runtime.shared_memory import shared_memory_prefix, sweep_shared_memory
from ropewalk.serving.settings import Settings


def test_the_regions_of_one_stack_are_swept_and_no_others(tmp_path: Path) -> None:
    ours, theirs = (shared_memory_prefix(tmp_path / name) for name in ("ours", "theirs"))
    for name in (f"{ours}1", f"{ours}2", f"{theirs}1", "other"):
        (tmp_path / name).touch()
    assert sweep_shared_memory(ours, tmp_path) == 2
    assert {each.name for each in tmp_path.iterdir()} == {f"{theirs}1", "other"}


@pytest.mark.parametrize("kind", ["folder", "link", "link to nothing", "file of somebody else"])
def test_what_a_stranger_put_under_our_name_stops_no_sweep(tmp_path: Path, kind: str) -> None:
    prefix = shared_memory_prefix(tmp_path / "ours")
    planted, stale = tmp_path / f"{prefix}0", tmp_path / f"{prefix}1"
    stale.touch()
    match kind:
        case "folder":
            (planted / "full").mkdir(parents=True)
        case "file of somebody else":
            if os.geteuid():
                pytest.skip("only root may give a file away")
            planted.touch()
            os.chown(planted, 65534, 65534)
        case _:
            planted.symlink_to(tmp_path if kind == "link" else "nothing")
    assert sweep_shared_memory(prefix, tmp_path) == 1
    assert os.path.lexists(planted)
    assert not stale.exists()


def test_supervisor_and_serving_agree_on_the_prefix(tmp_path: Path) -> None:
    assert Settings(state_dir=tmp_path).shm_prefix == shared_memory_prefix(tmp_path)
