"""Whose turn it is: priority, then fair share, then age; never more than the capacity, nobody starves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.events.resources import Resources
from ropewalk.events.run import PoolState, StageState
from ropewalk.stages.pool_policy import MAX_WAITING, enter, find, leave, next_in_line, num_waiting, start


def a_stage(
    run_id: str, cpus: float = 1.0, priority: int = 0, owner: str = "", stage: str = "train", **others: int | str
) -> StageState:
    return StageState(
        run_id=run_id, stage=stage, status="queued", epoch=0, attempt=1, operation_id="o", cause_id="c",
        cause_type="t", cause_body="{}", pool="p", cpus=cpus, priority=priority, owner=owner, **others,
    )  # fmt: skip


def a_pool(*stages: StageState, running: tuple[str, ...] = ()) -> PoolState:
    pool = PoolState(run_id="p", capacity=2, operation_id="")
    for stage in stages:
        pool = enter(pool, stage)
        if stage.run_id in running:
            pool = start(pool, stage.stage, stage.run_id)
    return pool


def turns(pool: PoolState, capacity: float = 2.0, absent: frozenset[str] = frozenset()) -> list[str]:
    return turns_in(pool, Resources(cpus=capacity), absent)


def turns_in(pool: PoolState, room: Resources, absent: frozenset[str] = frozenset()) -> list[str]:
    return [entry.run_id for entry in next_in_line(pool, room, absent)]


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


def test_a_stage_that_asks_for_gpus_waits_for_gpus_and_leaves_the_cpus_to_others() -> None:
    room = Resources(cpus=8, gpus=2, gpu_kind="h100")
    pool = a_pool(a_stage("runs", gpus=2), a_stage("waits", cpus=4, gpus=1), a_stage("small"), running=("runs",))
    assert turns_in(pool, room) == ["small"]
    assert turns_in(leave(pool, "train", "runs"), room) == ["waits", "small"]


def test_the_cpus_that_a_stage_will_need_with_its_gpus_are_kept_for_it() -> None:
    room = Resources(cpus=4, gpus=1)
    pool = a_pool(a_stage("runs", gpus=1), a_stage("waits", cpus=3, gpus=1), a_stage("small"), running=("runs",))
    assert turns_in(pool, room) == []
    assert turns_in(leave(pool, "train", "runs"), room) == ["waits", "small"]


def test_a_long_line_for_gpus_keeps_the_cpus_of_its_first_alone() -> None:
    room = Resources(cpus=4, gpus=1)
    line = [a_stage(name, gpus=1) for name in ("first", "second", "third", "fourth")]
    pool = a_pool(a_stage("runs", gpus=1), *line, a_stage("x"), a_stage("y"), a_stage("z"), running=("runs",))
    assert turns_in(pool, room) == ["x", "y"]


def test_a_large_stage_behind_one_that_waits_for_gpus_is_not_overtaken_either() -> None:
    room = Resources(cpus=4, gpus=1)
    waits, large, small = a_stage("waits", gpus=1), a_stage("large", cpus=3), a_stage("small")
    assert turns_in(a_pool(a_stage("runs", gpus=1), waits, large, small, running=("runs",)), room) == []


@pytest.mark.parametrize(("kind", "starts"), [("", True), ("h100", True), ("a100", False)])
def test_a_demand_for_gpus_is_met_by_their_kind_or_by_any(kind: str, starts: bool) -> None:
    pool = a_pool(a_stage("a", gpus=1, gpu_kind=kind))
    assert turns_in(pool, Resources(cpus=1, gpus=1, gpu_kind="h100")) == (["a"] if starts else [])
    assert turns_in(pool, Resources(cpus=1)) == []


def test_memory_is_counted_where_the_pool_names_it() -> None:
    pool = a_pool(a_stage("a", memory_bytes=6), a_stage("b", memory_bytes=6))
    assert turns_in(pool, Resources(cpus=2, memory_bytes=10)) == ["a"]
    assert turns_in(pool, Resources(cpus=2)) == ["a", "b"]


def test_owners_take_turns_by_the_resource_of_which_they_hold_most() -> None:
    running = a_stage("a1", cpus=1, owner="ann", gpus=3), a_stage("b1", cpus=4, owner="bob")
    waiting = a_stage("a2", owner="ann", gpus=1), a_stage("b2", owner="bob", gpus=1)
    pool = a_pool(*running, *waiting, running=("a1", "b1"))
    assert turns_in(pool, Resources(cpus=16, gpus=4)) == ["b2"]  # ann holds 3/4 of the GPUs, bob 1/4 of the CPUs


def test_an_entry_of_an_older_service_asks_for_cpus_alone() -> None:
    old = """{"run_id": "p", "capacity": 2, "operation_id": "o", "next_ticket": 2, "entries":
             [{"stage": "train", "run_id": "a", "cpus": 2, "ticket": 1}]}"""
    assert turns(PoolState.model_validate_json(old)) == ["a"]


@pytest.mark.parametrize("stage", ["export", "evaluate", "promote"])
def test_each_short_stage_after_the_training_counts_as_near_the_end(stage: str) -> None:
    assert turns(a_pool(a_stage("new", stage="train"), a_stage("trained", stage=stage)), capacity=1) == ["trained"]


@pytest.mark.parametrize("stage", ["ingest", "preprocess", "search", "train", "deploy"])
def test_no_other_stage_goes_before_older_ones(stage: str) -> None:
    assert turns(a_pool(a_stage("new", stage="train"), a_stage("other", stage=stage)), capacity=1) == ["new"]


def test_a_stage_may_take_the_very_last_of_a_pool_and_then_nothing_is_left() -> None:
    assert turns(a_pool(a_stage("a", cpus=2), a_stage("b", cpus=0.1))) == ["a"]
    thirds = a_pool(*(a_stage(name, cpus=0.1) for name in "abc"))
    assert turns(thirds, capacity=0.3) == ["a", "b", "c"]  # 0.1 + 0.1 + 0.1 is more than 0.3 in floats
    assert turns(a_pool(a_stage("a", cpus=2.001))) == []


def test_cpus_that_are_all_taken_keep_nobody_from_gpus_that_are_free() -> None:
    pool = a_pool(a_stage("runs", cpus=2), a_stage("waits", cpus=0, gpus=1), running=("runs",))
    assert turns_in(pool, Resources(cpus=2, gpus=1)) == ["waits"]


def test_who_got_a_turn_a_moment_ago_is_counted_as_using_it() -> None:
    pool = a_pool(
        *(a_stage(f"a{n}", owner="ann") for n in range(3)), *(a_stage(f"b{n}", owner="bob") for n in range(3))
    )
    assert turns(pool, capacity=4) == ["a0", "b0", "a1", "b1"]


def test_starting_and_leaving_touch_one_entry_of_one_stage() -> None:
    pool = a_pool(a_stage("a"), a_stage("a", stage="export"), a_stage("b"))
    assert [entry.running for entry in start(pool, "export", "a").entries] == [False, True, False]
    assert [(entry.stage, entry.run_id) for entry in leave(pool, "train", "a").entries] == [
        ("export", "a"),
        ("train", "b"),
    ]
    assert num_waiting(start(pool, "export", "a")) == 2


def test_a_pool_with_a_full_line_is_a_small_message() -> None:
    names = [f"{number:03}-".ljust(63, "x") for number in range(MAX_WAITING)]
    pool = a_pool(*(a_stage(name, owner=name, gpus=1, gpu_kind="h100", memory_bytes=2**37) for name in names))
    assert MAX_WAITING == 500
    assert len(pool.model_dump_json()) < 200_000  # of the million bytes that a message may have


def test_entering_twice_changes_nothing() -> None:
    pool = a_pool(a_stage("a"))
    assert enter(pool, a_stage("a")) == pool


def test_tickets_are_never_used_twice() -> None:
    pool = leave(a_pool(a_stage("a"), a_stage("b")), "train", "b")
    entry = find(enter(pool, a_stage("c")), "train", "c")
    assert entry is not None
    assert entry.ticket == 3


a_demand = st.builds(
    Resources,
    cpus=st.floats(0.1, 5),
    gpus=st.integers(0, 3),
    gpu_kind=st.sampled_from(["", "h100"]),
    memory_bytes=st.integers(0, 5),
)


@settings(max_examples=300, deadline=None)
@given(
    demands=st.lists(a_demand, min_size=1, max_size=12),
    priorities=st.lists(st.integers(-2, 2), min_size=12, max_size=12),
    owners=st.lists(st.sampled_from("abc"), min_size=12, max_size=12),
    room=st.builds(
        Resources,
        cpus=st.floats(0.5, 6),
        gpus=st.integers(0, 4),
        gpu_kind=st.just("h100"),
        memory_bytes=st.integers(0, 6),
    ),
    ends=st.integers(0, 99),
)
def test_everybody_gets_a_turn_and_no_resource_is_ever_given_away_twice(
    demands: list[Resources], priorities: list[int], owners: list[str], room: Resources, ends: int
) -> None:
    demands = [each for each in demands if each.fits(room)]
    pool = a_pool(
        *(a_stage(str(i), priority=priorities[i], owner=owners[i], **d.as_fields()) for i, d in enumerate(demands))
    )
    served: list[str] = []
    while num_waiting(pool):
        for entry in next_in_line(pool, room):
            pool = start(pool, entry.stage, entry.run_id)
        running = [entry for entry in pool.entries if entry.running]
        assert running
        assert sum(entry.cpus for entry in running) <= room.cpus + 1e-6
        assert sum(entry.gpus for entry in running) <= room.gpus
        assert not room.memory_bytes or sum(entry.memory_bytes for entry in running) <= room.memory_bytes
        ended = running[ends % len(running)]
        served.append(ended.run_id)
        pool = leave(pool, ended.stage, ended.run_id)
    assert len(served) + len(pool.entries) == len(demands)


@pytest.mark.parametrize("size", [500])
def test_a_full_line_fits_a_message(size: int) -> None:
    pool = a_pool(*(a_stage(f"python-stdlib-261123-101500-{i:04d}", owner="somebody") for i in range(size)))
    assert len(pool.model_dump_json()) < 100 * 1024
