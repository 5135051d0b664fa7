"""Warm-up, stable, decay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.model.schedule import Schedule

SCHEDULE = Schedule(total_steps=100, warmup_steps=10, decay_start=60)


def test_the_rate_rises_stays_and_falls_to_a_twentieth():
    assert SCHEDULE.scale(0) == 0.1
    assert SCHEDULE.scale(9) == SCHEDULE.scale(10) == SCHEDULE.scale(60) == 1.0
    assert SCHEDULE.scale(80) == 0.525
    assert 0.05 < SCHEDULE.scale(99) < 0.08
    assert SCHEDULE.scale(100) == 0.05


def test_a_cosine_is_half_way_down_in_the_middle_and_falls_slowly_at_both_ends():
    cosine = Schedule(total_steps=110, warmup_steps=10, decay_start=10, decay="cosine")
    assert cosine.scale(60) == pytest.approx(0.525)
    assert cosine.scale(20) > 0.97 > 0.08 > cosine.scale(100)


@given(total=st.integers(1, 500), step=st.integers(0, 600))
def test_the_factor_is_always_above_zero_and_at_most_one(total, step):
    schedule = Schedule(total_steps=total, warmup_steps=min(20, total), decay_start=total * 6 // 10)
    assert 0 < schedule.scale(step) <= 1
