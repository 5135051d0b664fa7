"""Which updates are applied, with plain numbers."""

import json
import math
import random

import pytest

from ropewalk.trainer.adapters.worker.guard import MAX_SKIPS_IN_A_ROW, StepGuard


def calm(guard, count, seed=1):
    numbers = random.Random(seed)
    return [guard.reason_to_skip(2.0, 1.0 + 0.1 * numbers.uniform(-1, 1)) for _ in range(count)]


@pytest.mark.parametrize(
    ("loss", "norm", "word"),
    [(math.nan, 1, "loss"), (math.inf, 1, "loss"), (2, math.nan, "norm"), (2, math.inf, "norm")],
)
def test_numbers_that_are_not_finite_are_skipped_from_the_first_step(loss, norm, word):
    assert word in StepGuard().reason_to_skip(loss, norm)


def test_ordinary_steps_are_applied():
    assert set(calm(StepGuard(), 500)) == {""}


def test_a_spike_is_skipped_once_the_window_knows_enough():
    guard = StepGuard()
    calm(guard, 63)
    assert guard.reason_to_skip(2.0, 50.0) == ""
    guard = StepGuard()
    calm(guard, 64)
    assert "50" in guard.reason_to_skip(2.0, 50.0)
    assert guard.reason_to_skip(2.0, 1.0) == ""


def test_a_lasting_rise_is_accepted_after_five_skips():
    guard = StepGuard()
    calm(guard, 100)
    reasons = [bool(guard.reason_to_skip(2.0, 3.0)) for _ in range(8)]
    assert reasons == [True] * 5 + [False] * 3


def test_skips_in_a_row_are_counted_and_an_applied_step_ends_the_row():
    guard = StepGuard()
    for _ in range(7):
        guard.reason_to_skip(math.nan, 1.0)
    assert guard.skips_in_a_row == 7
    guard.reason_to_skip(2.0, 1.0)
    assert guard.skips_in_a_row == 0


def test_the_twentieth_skip_in_a_row_is_the_last_one():
    guard = StepGuard()
    gave_up = []
    for _ in range(20):
        guard.reason_to_skip(math.nan, 1.0)
        gave_up.append(guard.gives_up)
    assert MAX_SKIPS_IN_A_ROW == 20
    assert gave_up == [False] * 19 + [True]


def test_a_restored_guard_decides_as_the_one_that_was_saved():
    guard, restored = StepGuard(), StepGuard()
    calm(guard, 90)
    guard.reason_to_skip(2.0, 9.0)
    restored.restore(json.loads(json.dumps(guard.as_json())))
    norms = [1.3, 1.6, 9.0, 1.0, 1.55, 20.0]
    assert [guard.reason_to_skip(2.0, n) for n in norms] == [restored.reason_to_skip(2.0, n) for n in norms]
    assert guard.as_json() == restored.as_json()
