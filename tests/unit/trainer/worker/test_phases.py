from ropewalk.trainer.adapters.worker.phases import Phases


def test_the_seconds_of_all_phases_sum_to_the_time_that_passed() -> None:
    moments = iter([10.0, 11.0, 13.5, 14.0, 20.0])
    phases = Phases(lambda: next(moments))
    phases.enter("data")
    phases.enter("step")
    first = phases.take()
    assert (first["start"], first["data"], first["step"]) == (1.0, 2.5, 0.5)
    second = phases.take()
    assert (second["step"], sum(second.values())) == (6.0, 6.0)


def test_a_phase_that_is_entered_twice_is_counted_together() -> None:
    moments = iter([0.0, 1.0, 2.0, 3.0, 4.0])
    phases = Phases(lambda: next(moments))
    for name in ("data", "step", "data"):
        phases.enter(name)
    spent = phases.take()
    assert (spent["start"], spent["data"], spent["step"]) == (1.0, 2.0, 1.0)
