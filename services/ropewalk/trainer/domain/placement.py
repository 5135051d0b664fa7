"""How many workers a group has and what each of them gets. Pure: what is wanted and what there is, in; numbers, out."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A group of workers that are all alike: one CPU each, and a whole GPU each or none."""

    num_workers: int
    kind: Literal["cpu", "cuda"]


def place_group(wanted: str, num_workers: int, num_gpus: int) -> Placement:
    """Put the group on GPUs if the plan's device is `cuda` and the cluster has any, one worker on each.

    Fewer GPUs than workers make a smaller group: the batch is the same, and any world size continues any other's run.
    """
    if wanted != "cuda" or num_gpus < 1:
        return Placement(num_workers=num_workers, kind="cpu")
    return Placement(num_workers=min(num_workers, num_gpus), kind="cuda")


def trial_share(wanted: str, parallel: int, num_gpus: int) -> float:
    """The part of a GPU that each of `parallel` search trials gets, so that all of them run at once."""
    return min(1.0, num_gpus / parallel) if wanted == "cuda" else 0.0
