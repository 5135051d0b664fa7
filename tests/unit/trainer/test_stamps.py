"""A rank writes, another process reads: here both are this one."""

import os
import time
from pathlib import Path

from ropewalk.trainer.adapters.looking import look_at
from ropewalk.trainer.adapters.stamps import Stamper, read_stamp
from ropewalk.trainer.adapters.worker.phases import Phases


def test_a_stamp_says_what_a_rank_does_and_how_long_that_usually_takes(tmp_path: Path) -> None:
    moments = iter(float(number) for number in range(1, 1000))
    phases = Phases(lambda: next(moments), Stamper(tmp_path, 3))
    for step in range(100):
        phases.enter("data", step)
        phases.enter("step")
    stamp = read_stamp(tmp_path, 3)
    assert stamp is not None
    assert (stamp.pid, stamp.step, stamp.phase, stamp.since, stamp.usual_s) == (os.getpid(), 99, "step", 201.0, 1.0)


def test_a_rank_that_has_not_begun_is_not_seen(tmp_path: Path) -> None:
    assert look_at(tmp_path, 0) is None
    (tmp_path / "stamp-0").write_bytes(b"half")
    assert look_at(tmp_path, 0) is None


def test_a_sight_has_the_state_and_the_cpu_time_of_the_thread_that_trains(tmp_path: Path) -> None:
    Phases(on_enter=Stamper(tmp_path, 0)).enter("step", 5)
    before = look_at(tmp_path, 0)
    assert before is not None
    while time.thread_time() < before.ran_s + 0.02:
        pass
    after = look_at(tmp_path, 0)
    assert after is not None
    assert after.state == "R"
    assert after.ran_s > before.ran_s
    assert 0 < before.silent_s < after.silent_s < 60


def test_a_stamp_costs_less_than_two_microseconds(tmp_path: Path) -> None:
    phases, number = Phases(on_enter=Stamper(tmp_path, 0)), 20_000
    began = time.process_time()
    for step in range(number):
        phases.enter("step", step)
    assert (time.process_time() - began) / number < 2e-6
