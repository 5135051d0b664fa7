"""Where a checkpoint lies in the object store, and the name that the place gives it. Pure."""

import re
from dataclasses import dataclass

_KEY = re.compile(r"runs/([^/]+)/checkpoints/(\d{1,12})-(\d{1,12})")  # run, epoch, step


@dataclass(frozen=True, kw_only=True)
class CheckpointPlace:
    """After `step` steps of a run, by the holder of its lease number `epoch`."""

    run_id: str
    epoch: int
    step: int

    @property
    def checkpoint_id(self) -> str:
        """Of the checkpoint that belongs there."""
        return f"{self.run_id}-{self.epoch}-{self.step}"

    @property
    def key(self) -> str:
        """In the object store."""
        return f"runs/{self.run_id}/checkpoints/{self.epoch}-{self.step}"

    @property
    def progress(self) -> tuple[int, int]:
        """Further along is better, then the younger epoch."""
        return self.step, self.epoch


def place_of_id(checkpoint_id: str) -> CheckpointPlace:
    """Where the checkpoint of that name lies."""
    run_id, epoch, step = checkpoint_id.rsplit("-", 2)
    return CheckpointPlace(run_id=run_id, epoch=int(epoch), step=int(step))


def place_of(key: str) -> CheckpointPlace | None:
    """What a key says; None for whatever else lies there."""
    found = _KEY.fullmatch(key)
    return CheckpointPlace(run_id=found[1], epoch=int(found[2]), step=int(found[3])) if found else None
