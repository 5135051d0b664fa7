"""What is done about a step's numbers, with plain numbers."""

import json
import math
import random

import pytest

from ropewalk.trainer.domain.guard import (
    MAX_ROLLBACKS,
    MAX_SKIPS_IN_A_ROW,
    Apply,
    EndTraining,
    LeaveOut,
    RollBack,
    StepGuard,
)


def whole():
    return ""


def no_look():
    raise AssertionError("nothing is odd here")


def calm(guard, steps, seed=1):
    numbers = random.Random(seed)
    for step in steps:
        jitter = 0.1 * numbers.uniform(-1, 1)
        assert guard.judge(step, 2.0 + jitter, 1.0 + jitter, no_look) == Apply()


def after(state):
    guard = StepGuard()
    guard.restore(json.loads(json.dumps(state)))
    return guard


@pytest.mark.parametrize(
    ("loss", "norm", "word"),
    [(math.nan, 1, "loss"), (math.inf, 1, "loss"), (2, math.nan, "norm"), (2, math.inf, "norm")],
)
def test_an_update_with_numbers_that_are_not_finite_is_left_out_from_the_first_step(loss, norm, word):
    verdict = StepGuard().judge(0, loss, norm, whole)
    assert isinstance(verdict, LeaveOut)
    assert word in verdict.reason


def test_a_loss_far_above_all_recent_ones_is_left_out_and_the_next_good_step_applied():
    guard = StepGuard()
    calm(guard, range(20))
    assert "100" in guard.judge(20, 100.0, 1.0, whole).reason
    assert guard.is_suspicious
    calm(guard, range(21, 22))
    assert not guard.is_suspicious


def test_a_large_gradient_alone_is_clipped_not_left_out():
    """One of 53 times the median was seen in a healthy run; the weights are looked at, and that is all."""
    guard, looks = StepGuard(), []
    calm(guard, range(100))
    assert guard.judge(100, 2.1, 53.0, lambda: looks.append(1) or "") == Apply()
    assert looks == [1]
    assert isinstance(guard.judge(101, 2.1, 1e5, whole), LeaveOut)


def test_broken_weights_are_left_behind_at_the_first_odd_number():
    guard = StepGuard()
    calm(guard, range(30))
    assert guard.judge(30, 4.0, 1.0, lambda: "the weight w holds 1e+04") == RollBack("the weight w holds 1e+04")


def test_two_bad_steps_in_a_row_go_back_and_if_that_changes_nothing_the_batches_are_left_out():
    guard = StepGuard()
    calm(guard, range(30))
    state = guard.as_json()
    assert isinstance(guard.judge(30, math.nan, 1.0, whole), LeaveOut)
    assert isinstance(guard.judge(31, math.nan, 1.0, whole), RollBack)
    guard.restore(state)
    assert not guard.is_suspicious
    assert [type(guard.judge(step, math.nan, 1.0, whole)) for step in (30, 31, 32)] == [LeaveOut] * 3
    calm(guard, range(33, 40))


def test_what_a_rollback_taught_is_in_the_next_checkpoint():
    guard = StepGuard()
    start = guard.as_json()
    guard.judge(0, math.nan, 1.0, whole)
    guard.judge(1, math.nan, 1.0, whole)
    guard.restore(start)
    resumed = after(guard.as_json())
    assert [type(resumed.judge(step, math.nan, 1.0, whole)) for step in (0, 1)] == [LeaveOut] * 2


def test_an_update_that_breaks_the_weights_twice_is_left_out_the_third_time():
    guard = StepGuard()
    start = guard.as_json()
    for _ in range(2):
        calm(guard, range(6))
        assert isinstance(guard.judge(6, math.nan, 1.0, lambda: "the weight w holds nan"), RollBack)
        guard.restore(start)
    calm(guard, range(5))
    assert guard.judge(5, 2.0, 1.0, no_look) == LeaveOut("twice, the weights were broken after it")
    calm(guard, range(6, 30))


def test_a_run_that_goes_back_again_and_again_ends_with_a_sentence():
    guard, start = StepGuard(), StepGuard().as_json()
    for _ in range(MAX_ROLLBACKS):
        assert isinstance(guard.roll_back(7, "the weight w holds inf"), RollBack)
        guard.restore(start)
    verdict = guard.roll_back(7, "the weight w holds inf")
    assert isinstance(verdict, EndTraining)
    assert "went back 4 times" in verdict.message


def test_rollbacks_far_apart_have_each_a_budget_of_their_own():
    guard = StepGuard()
    assert all(isinstance(guard.roll_back(200 * number, "flipped"), RollBack) for number in range(1, 50))


def test_a_rise_that_lasts_becomes_the_new_level():
    guard = StepGuard()
    calm(guard, range(100))
    state = guard.as_json()
    guard.judge(100, 8.0, 1.0, whole)
    assert isinstance(guard.judge(101, 8.0, 1.0, whole), RollBack)
    guard.restore(state)
    verdicts = [type(guard.judge(step, 8.0, 1.0, whole)) for step in range(100, 108)]
    assert verdicts == [LeaveOut] * 5 + [Apply] * 3


def test_the_twentieth_bad_step_in_a_row_ends_the_run():
    guard, start = StepGuard(), StepGuard().as_json()
    guard.judge(0, math.nan, 1.0, whole)
    guard.judge(1, math.nan, 1.0, whole)
    guard.restore(start)
    verdicts = [guard.judge(step, math.nan, 1.0, whole) for step in range(MAX_SKIPS_IN_A_ROW)]
    assert isinstance(verdicts[-1], EndTraining)
    assert "20 updates in a row" in verdicts[-1].message
    assert {type(verdict) for verdict in verdicts[:-1]} == {LeaveOut}


def test_a_restored_guard_decides_as_the_one_that_was_saved():
    guard = StepGuard()
    calm(guard, range(200))
    copy = after(guard.as_json())
    assert copy.as_json() == guard.as_json()
    for step, loss in enumerate((2.05, 40.0, 2.0, math.nan, 2.0), start=200):
        assert copy.judge(step, loss, 1.0, whole) == guard.judge(step, loss, 1.0, whole)


def test_the_state_of_an_older_checkpoint_is_read():
    guard = after({"norms": [1.0] * 128, "skips_in_a_row": 2})
    assert guard.skips_in_a_row == 2
    calm(guard, range(20))
