"""How many workers a group has and what each of them gets. Pure: what is wanted and what there is, in; numbers, out."""

from typing import Literal


def place_group(wanted: str, num_workers: int, num_gpus: int) -> tuple[int, Literal["cpu", "cuda"]]:
    """How many workers, and on what: GPUs if the plan's device is `cuda` and the cluster has any, one worker on each.

    Fewer GPUs than workers make a smaller group: the batch is the same, and any world size continues any other's run.
    """
    if wanted != "cuda" or num_gpus < 1:
        return num_workers, "cpu"
    return min(num_workers, num_gpus), "cuda"


def trial_share(wanted: str, parallel: int, num_gpus: int) -> float:
    """The part of a GPU that each of `parallel` search trials gets, so that all of them run at once."""
    return min(1.0, num_gpus / parallel) if wanted == "cuda" else 0.0
