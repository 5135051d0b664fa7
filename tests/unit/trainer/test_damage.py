"""A few of the cases of `benchmarks/training/damage.py`, which has thousands."""

import os
import random
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two runs with four checkpoints each, and the judge of what became of them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from parts.damage_cases import Ground

    with tempfile.TemporaryDirectory(prefix="ropewalk-damage-") as folder:
        os.chmod(folder, 0o755)  # the cases run as another user where this one may read everything
        yield Ground(Path(folder) / "ground")


def faults(verdict: Any) -> list[str]:
    return [*verdict.accepted, *verdict.lost, *verdict.silent]


def test_no_damage_is_resumed_from_or_costs_a_run_and_each_is_told(ground: Any) -> None:
    from parts.damage_cases import cases

    chosen = random.Random(9).sample(list(cases(1, 1)), 18)
    assert [fault for case in chosen for fault in faults(ground.run_local(case))] == []


def test_a_closed_folder_within_a_checkpoint_is_damage_to_an_ordinary_user(ground: Any) -> None:
    from parts.damage_cases import Case

    case = Case("closed", lambda site: (site.folder() / "adapter").mkdir(mode=0), (40,), seed=1)
    assert faults(ground.run_local(case)) == []


def test_no_damage_in_a_bucket_is_resumed_from_or_costs_a_run_and_each_is_told(ground: Any) -> None:
    from parts.damage_cases import cases

    remote = [case for case in cases(1, 1) if not case.local_only]
    chosen = random.Random(9).sample(remote, 8)
    found = [faults(ground.run_bucket(case, MemoryStore(), warm=place % 2 > 0)) for place, case in enumerate(chosen)]
    assert [fault for each in found for fault in each] == []


def test_a_writer_killed_between_two_system_calls_leaves_the_checkpoint_whole_or_absent(ground: Any) -> None:
    from parts.killed_writers import Writers

    found = [faults(verdict) for _, verdict in islice(Writers(ground).local(every=31), 6)]
    assert [fault for each in found for fault in each] == []
    assert len(found) == 6
