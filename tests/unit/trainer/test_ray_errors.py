"""Ray's errors in one line."""

from ray.exceptions import RaySystemError, RayTaskError

from ropewalk.trainer.adapters.ray_hosts import in_one_line


def test_an_error_inside_a_task_is_told_by_its_cause_and_not_by_a_traceback() -> None:
    error = RayTaskError("_run_trial", "Traceback (most recent call last):\n  …", KeyError("lm_head.weight"))
    assert in_one_line(error) == "KeyError: 'lm_head.weight'"


def test_an_error_of_ray_itself_keeps_its_words_on_one_line() -> None:
    assert in_one_line(RaySystemError("the raylet\nis gone")) == "RaySystemError: System error: the raylet is gone"


def test_a_long_text_is_cut() -> None:
    assert len(in_one_line(ValueError("x" * 5000))) < 350
