"""Sights of ranks in, the rank that hangs out: no process, no clock."""

from collections.abc import Callable

from ropewalk.trainer.domain.hang import Hang, HangWatch
from ropewalk.trainer.domain.sight import Sight


def a_sight(rank: int = 0, **changes: object) -> Sight:
    fields = {"step": 7, "phase": "step", "silent_s": 0.1, "usual_s": 0.2, "state": "S", "ran_s": 1.0, "queued_s": 0.0}
    return Sight(rank=rank, **(fields | changes))


def seen_for(seconds: int, sights: Callable[[float], list[Sight]], watch: HangWatch | None = None) -> Hang | None:
    """What a look every half second says, and when."""
    watch = watch or HangWatch(longest_s=300)
    for tick in range(2 * seconds):
        if hang := watch.look(sights(tick / 2), tick / 2):
            return hang
    return None


def test_a_stopped_rank_is_named_within_six_seconds_while_the_others_wait_for_it() -> None:
    hang = seen_for(6, lambda s: [a_sight(0, silent_s=s), a_sight(1, silent_s=s, state="T")])
    assert hang is not None
    assert hang.ranks == (1,)
    assert hang.detail == ("rank 1 was stopped from outside (SIGSTOP, a debugger or a freezer) in phase step of step 7")


def test_a_rank_that_is_stopped_for_a_moment_is_not_named() -> None:
    assert seen_for(60, lambda s: [a_sight(0), a_sight(1, state="T" if s % 6 < 4 else "R")]) is None


def test_the_rank_that_is_furthest_behind_hangs_and_those_in_the_collective_wait_for_it() -> None:
    hang = seen_for(40, lambda s: [a_sight(0, silent_s=s), a_sight(1, silent_s=s, phase="data")])
    assert hang is not None
    assert (hang.ranks, hang.phase) == ((1,), "data")


def test_ranks_that_are_equally_far_are_told_apart_by_their_stacks() -> None:
    hang = seen_for(40, lambda s: [a_sight(0, silent_s=s), a_sight(1, silent_s=s)])
    assert hang is not None
    assert hang.ranks == (0, 1)
    waits, works = (
        'File ".../torch/distributed/distributed_c10d.py", line 3009 in all_reduce',
        'File "nets.py" in forward',
    )
    assert hang.narrowed({0: waits, 1: works}).ranks == (1,)
    assert hang.narrowed({0: waits, 1: waits}).ranks == (0, 1)


def test_silence_within_five_times_the_usual_length_of_the_phase_is_no_hang() -> None:
    slow = HangWatch(longest_s=300)
    assert seen_for(95, lambda s: [a_sight(silent_s=s, usual_s=20.0)], slow) is None
    assert seen_for(140, lambda s: [a_sight(silent_s=s, usual_s=20.0)]) is not None


def test_a_phase_that_was_never_left_may_last_as_long_as_a_group_may_be_silent() -> None:
    assert seen_for(290, lambda s: [a_sight(silent_s=s, phase="compile", usual_s=0.0)]) is None
    assert seen_for(310, lambda s: [a_sight(silent_s=s, phase="compile", usual_s=0.0)]) is not None


def test_a_watcher_that_was_frozen_itself_blames_nobody_for_the_time_it_did_not_see() -> None:
    watch = HangWatch(longest_s=300)
    assert watch.look([a_sight()], 0.0) is None
    assert watch.look([a_sight(silent_s=3600.0)], 3600.0) is None
    assert watch.look([a_sight(silent_s=3600.5, state="T")], 3600.5) is None
