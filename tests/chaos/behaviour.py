"""A run's id says how its work behaves and therefore how the run must end: `<behaviour>-<number>`."""

from typing import Literal

Ending = Literal["completed", "failed", "cancelled", "rejected"]

STAGES = ("ingest", "preprocess", "train", "evaluate")
NUM_EFFECTS = 2  # outside effects of each stage
NUM_FACTS = 3  # facts that each stage emits on its way

# How a run of each behaviour may end. A cancelled one may have ended before the request was handled.
ENDINGS: dict[str, tuple[Ending, ...]] = {
    "plain": ("completed",),
    "child": ("completed",),  # preprocessing works in a child process
    "group": ("completed",),  # training works in a group of processes, as Ray's workers do
    "flaky": ("completed",),  # the first attempt of `train` fails
    "hang": ("completed",),  # the first attempt of `train` does nothing for ever
    "late": ("failed", "completed"),  # it has a deadline that is hard to meet
    "hopeless": ("failed",),  # `evaluate` cannot succeed
    "twice": ("completed",),  # it is submitted twice at once, as by a double click
    "unsound": ("rejected",),  # its recipe has a violation
    "cancel": ("cancelled", "completed"),
}
WEIGHTS = {
    "plain": 6,
    "child": 4,
    "group": 4,
    "flaky": 2,
    "hang": 1,
    "late": 2,
    "hopeless": 1,
    "twice": 2,
    "unsound": 1,
    "cancel": 3,
}


def behaviour_of(run_id: str) -> str:
    """The first part of a run's id."""
    return run_id.partition("-")[0]


def effect_key(stage: str, run_id: str, index: int) -> str:
    """The name of one outside effect."""
    return f"{stage}/{run_id}/{index}"
