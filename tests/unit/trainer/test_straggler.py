"""Sights of ranks in, the slow rank out: seeded noise, no process."""

import random

from ropewalk.trainer.domain.sight import Sight
from ropewalk.trainer.domain.straggler import Straggler, StragglerWatch


def told(
    num_steps: int, speeds: list[float], *, noise: float = 0.1, stopped: bool = False, batch_size: int = 12
) -> list[Straggler]:
    """What a watch says of ranks that need .2 s / speed for a step, each late by a random share of it."""
    draw = random.Random(3)
    watch, now, found = StragglerWatch(batch_size=batch_size), 0.0, []
    busy = dict.fromkeys(range(len(speeds)), 0.0)
    for step in range(num_steps):
        work = [0.2 / speed * (1 + draw.expovariate(1 / noise)) for speed in speeds]
        now += max(work)
        for rank, seconds in enumerate(work):
            busy[rank] += 0.2 if stopped else seconds
        sights = [
            Sight(
                rank=rank,
                step=step,
                phase="step",
                silent_s=0.0,
                usual_s=0.2,
                ran_s=busy[rank],
                queued_s=0.0,
                state="T" if stopped and speeds[rank] < 1 and step % 2 else "S",
            )
            for rank in busy
        ]
        if straggler := watch.look(sights, now):
            found.append(straggler)
    return found


def test_a_rank_at_half_speed_is_named_within_fifty_steps_and_once() -> None:
    [straggler] = told(400, [1.0, 0.5, 1.0])
    assert straggler.rank == 1
    assert straggler.step < 50
    assert 0.4 < straggler.speed < 0.6


def test_a_rank_that_is_stopped_half_of_the_time_is_slow_although_it_uses_no_more_cpu_time() -> None:
    [straggler] = told(60, [1.0, 0.5], noise=0.01, stopped=True)
    assert straggler.rank == 1


def test_noise_on_shared_cores_raises_no_alarm_in_a_thousand_steps() -> None:
    assert told(1000, [1.0, 1.0], noise=0.5) == []


def test_a_rank_that_is_a_fifth_slower_is_left_alone() -> None:
    assert told(1000, [1.0, 0.8, 1.0, 1.0]) == []


def test_a_single_rank_has_nobody_to_be_slower_than() -> None:
    assert told(100, [0.5]) == []


def test_a_rank_with_more_windows_of_the_batch_is_not_slow() -> None:
    assert told(300, [0.5, 1.0], batch_size=3) == []
    assert told(300, [1.0, 1.0], batch_size=3) == []


def test_a_slow_rank_is_named_although_it_has_fewer_windows_than_the_others() -> None:
    [straggler] = told(100, [1.0, 0.4], batch_size=5)
    assert straggler.rank == 1
