"""How many workers a group has and whether they get GPUs."""

import pytest

from ropewalk.trainer.domain.placement import place_group, trial_share


@pytest.mark.parametrize(
    ("wanted", "num_gpus", "expected"),
    [
        ("cuda", 0, (4, "cpu")),  # the worker then says why
        ("cpu", 8, (4, "cpu")),
        ("cuda", 8, (4, "cuda")),
        ("cuda", 1, (1, "cuda")),
        ("cuda", 3, (3, "cuda")),
    ],
)
def test_workers_take_a_whole_gpu_each_if_there_are_any_and_no_more_than_there_are(wanted, num_gpus, expected):
    assert place_group(wanted, 4, num_gpus) == expected


@pytest.mark.parametrize(
    ("wanted", "num_gpus", "share"),
    [("cuda", 0, 0.0), ("cuda", 1, 0.5), ("cuda", 2, 1.0), ("cuda", 8, 1.0), ("cpu", 8, 0)],
)
def test_trials_that_run_at_once_share_the_gpus(wanted, num_gpus, share):
    assert trial_share(wanted, 2, num_gpus) == share
