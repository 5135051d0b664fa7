"""The shared memory of stubs: closed to others, and gone with them."""

import os
import time
import uuid
from pathlib import Path

import pytest

from ropewalk.serving.adapters.triton_backend import shared_memory

PREFIX = "ropewalk-0123456789-"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, folder in (("SHARED_MEMORY", "shm"), ("_PROCESSES", "proc")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(shared_memory, name, tmp_path / folder)
    monkeypatch.setattr(shared_memory, "_age_s", lambda region: time.time() - region.stat().st_mtime)
    return tmp_path


def a_region(machine: Path, *, prefix: str = PREFIX, age_s: float = 3600.0) -> Path:
    region = machine / "shm" / f"{prefix}{uuid.uuid4()}"
    region.touch(mode=0o644)
    os.utime(region, (time.time() - age_s,) * 2)
    return region


def a_stub(machine: Path, pid: str, region: Path) -> None:
    (machine / "proc" / pid).mkdir()
    (machine / "proc" / pid / "cmdline").write_text("\0".join(["/x/stub", "/m/1/model.py", region.name, "1048576"]))


def test_the_own_region_is_closed_and_those_of_dead_stubs_are_removed(machine: Path) -> None:
    own, living, dead, starting = (a_region(machine, age_s=age) for age in (3600, 3600, 3600, 1))
    foreign = a_region(machine, prefix="ropewalk-aaaaaaaaaa-")
    a_stub(machine, "self", own)
    a_stub(machine, "41", own)
    a_stub(machine, "42", living)
    shared_memory.tidy()
    assert own.stat().st_mode & 0o077 == 0
    assert [each.exists() for each in (living, dead, starting, foreign)] == [True, False, True, True]


def test_a_process_without_a_region_changes_nothing(machine: Path) -> None:
    region = a_region(machine)
    (machine / "proc" / "self").mkdir()
    (machine / "proc" / "self" / "cmdline").write_text("python\0-c\0pass")
    shared_memory.tidy()
    assert region.exists()
