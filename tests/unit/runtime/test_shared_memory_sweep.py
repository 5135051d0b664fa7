"""Only the stack's own regions are swept."""

from pathlib import Path

import pytest

from ropewalk.runtime import shared_memory
from ropewalk.runtime.shared_memory import shared_memory_prefix, sweep_shared_memory
from ropewalk.serving.settings import Settings


def test_the_regions_of_one_stack_are_swept_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_FOLDER", tmp_path)
    ours, theirs = (shared_memory_prefix(tmp_path / name) for name in ("ours", "theirs"))
    for name in (f"{ours}1", f"{ours}2", f"{theirs}1", "other"):
        (tmp_path / name).touch()
    assert sweep_shared_memory(ours) == 2
    assert {each.name for each in tmp_path.iterdir()} == {f"{theirs}1", "other"}


def test_supervisor_and_serving_agree_on_the_prefix(tmp_path: Path) -> None:
    assert Settings(state_dir=tmp_path).shm_prefix == shared_memory_prefix(tmp_path)
