"""Whose turn it is: priority, then fair share, then age; never more than the capacity, nobody starves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.events.run import PoolState, StageState
from ropewalk.stages.pool_policy import enter, find, leave, next_in_line, num_waiting, start


def a_stage(run_id: str, cpus: float = 1.0, priority: int = 0, owner: str = "", stage: str = "train") -> StageState:
    return StageState(
        run_id=run_id, stage=stage, status="queued", epoch=0, attempt=1, operation_id="o", cause_id="c",
        cause_type="t", cause_body="{}", pool="p", cpus=cpus, priority=priority, owner=owner,
    )  # fmt: skip


def a_pool(*stages: StageState, running: tuple[str, ...] = ()) -> PoolState:
    pool = PoolState(run_id="p", capacity=2, operation_id="")
    for stage in stages:
        pool = enter(pool, stage)
        if stage.run_id in running:
            pool = start(pool, stage.stage, stage.run_id)
    return pool


def turns(pool: PoolState, capacity: float = 2.0, absent: frozenset[str] = frozenset()) -> list[str]:
    return [entry.run_id for entry in next_in_line(pool, capacity, absent)]


def test_as_many_start_as_fit() -> None:
    assert turns(a_pool(a_stage("a"), a_stage("b"), a_stage("c"))) == ["a", "b"]


def test_the_capacity_that_runs_is_not_given_away_again() -> None:
    assert turns(a_pool(a_stage("a"), a_stage("b"), a_stage("c"), running=("a",))) == ["b"]


def test_a_higher_priority_goes_first_and_among_equals_the_older() -> None:
    assert turns(a_pool(a_stage("a"), a_stage("b", priority=5), a_stage("c", priority=5))) == ["b", "c"]


def test_owners_take_turns() -> None:
    pool = a_pool(a_stage("a1", owner="ann"), a_stage("a2", owner="ann"), a_stage("b1", owner="bob"))
    assert turns(pool) == ["a1", "b1"]


def test_a_large_stage_is_not_overtaken_by_small_ones_behind_it() -> None:
    pool = a_pool(a_stage("runs"), a_stage("large", cpus=2), a_stage("small"), running=("runs",))
    assert turns(pool) == []
    assert turns(leave(pool, "train", "runs")) == ["large"]


def test_a_stage_larger_than_the_pool_waits_for_a_larger_one_and_stops_nobody() -> None:
    pool = a_pool(a_stage("huge", cpus=64, priority=9), a_stage("small"), a_stage("large", cpus=2))
    assert turns(pool) == ["small"]
    assert turns(leave(pool, "train", "small")) == ["large"]
    assert turns(pool, capacity=64) == ["huge"]


def test_a_run_that_is_nearly_over_goes_before_the_beginnings_of_others() -> None:
    pool = a_pool(
        a_stage("new", stage="ingest", owner="bob"),
        a_stage("other", stage="train", owner="bob"),
        a_stage("trained", stage="export", owner="ann"),
        a_stage("exported", stage="evaluate", owner="ann"),
    )
    assert turns(pool) == ["trained", "exported"]
    assert turns(pool, capacity=3) == ["trained", "exported", "new"]


def test_a_higher_priority_still_goes_before_a_run_that_is_nearly_over() -> None:
    pool = a_pool(a_stage("a", stage="evaluate"), a_stage("b", stage="promote"), a_stage("c", priority=1))
    assert turns(pool) == ["c", "a"]


def test_a_stage_that_nobody_starts_is_passed_over() -> None:
    pool = a_pool(a_stage("a", stage="orphan", cpus=2), a_stage("b"))
    assert turns(pool) == ["a"]
    assert turns(pool, absent=frozenset({"orphan"})) == ["b"]


def test_entering_twice_changes_nothing() -> None:
    pool = a_pool(a_stage("a"))
    assert enter(pool, a_stage("a")) == pool


def test_tickets_are_never_used_twice() -> None:
    pool = leave(a_pool(a_stage("a"), a_stage("b")), "train", "b")
    entry = find(enter(pool, a_stage("c")), "train", "c")
    assert entry is not None
    assert entry.ticket == 3


@settings(max_examples=200, deadline=None)
@given(
    cpus=st.lists(st.floats(0.1, 5), min_size=1, max_size=12),
    priorities=st.lists(st.integers(-2, 2), min_size=12, max_size=12),
    owners=st.lists(st.sampled_from("abc"), min_size=12, max_size=12),
    capacity=st.floats(0.5, 6),
)
def test_everybody_gets_a_turn_and_the_pool_is_never_oversubscribed(
    cpus: list[float], priorities: list[int], owners: list[str], capacity: float
) -> None:
    cpus = [min(each, capacity) for each in cpus]
    pool = a_pool(*(a_stage(str(i), c, priorities[i], owners[i]) for i, c in enumerate(cpus)))
    served: list[str] = []
    while num_waiting(pool):
        for entry in next_in_line(pool, capacity):
            pool = start(pool, entry.stage, entry.run_id)
        running = [entry for entry in pool.entries if entry.running]
        assert running
        assert sum(entry.cpus for entry in running) <= capacity + 1e-6
        served.append(running[0].run_id)
        pool = leave(pool, running[0].stage, running[0].run_id)
    assert len(served) + len(pool.entries) == len(cpus)


@pytest.mark.parametrize("size", [500])
def test_a_full_line_fits_a_message(size: int) -> None:
    pool = a_pool(*(a_stage(f"python-stdlib-261123-101500-{i:04d}", owner="somebody") for i in range(size)))
    assert len(pool.model_dump_json()) < 100 * 1024
