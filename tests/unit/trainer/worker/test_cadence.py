"""When a run is saved, with plain numbers."""

from ropewalk.trainer.domain.cadence import interval_s, is_due


def test_saving_takes_at_most_half_a_percent_of_the_time():
    assert all(cost / interval_s(cost) <= 0.005 for cost in (0.01, 0.3, 1.0, 20.0))


def test_a_cheap_save_comes_every_few_minutes_at_the_latest_and_never_within_one():
    assert all(60.0 <= interval_s(cost) <= 300.0 for cost in (0.0, 0.01, 0.3, 1.5))


def test_multiples_of_the_plan_are_saved_whenever_they_come_and_others_by_time():
    assert is_due(120, 60, since_s=1.0, cost_s=0.1)
    assert not is_due(121, 60, since_s=59.0, cost_s=0.1)
    assert is_due(121, 60, since_s=300.0, cost_s=0.1)


def test_where_steps_are_fast_nothing_is_saved_while_the_save_before_is_still_written() -> None:
    assert is_due(10, 5, since_s=0.1, cost_s=0.01)
    assert not is_due(10, 5, since_s=1000.0, cost_s=0.01, would_wait=True)
