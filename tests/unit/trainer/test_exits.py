"""An exit status in, a symptom and its cause out."""

import pytest

from ropewalk.trainer.domain.exits import symptom_of_exit
from ropewalk.trainer.domain.recovery import AttemptCause, diagnose


@pytest.mark.parametrize(
    ("code", "num_oom_kills", "cause"),
    [
        (-9, 0, "worker_lost"),
        (137, 0, "worker_lost"),
        (-9, 1, "out_of_memory"),
        (-11, 0, "crashed"),
        (-6, 0, "crashed"),
        (-7, 0, "crashed"),
        (-15, 0, "pre_emption"),
        (143, 0, "pre_emption"),
        (1, 0, "error"),
    ],
)
def test_an_exit_is_classified_by_its_signal_and_what_the_kernel_counted(
    code: int, num_oom_kills: int, cause: AttemptCause
) -> None:
    symptom = symptom_of_exit(3, code, num_oom_kills=num_oom_kills)
    assert symptom is not None
    assert diagnose([symptom]).cause == cause
    assert "worker 3" in symptom.text


def test_a_good_end_shows_nothing() -> None:
    assert symptom_of_exit(0, 0) is None
