"""Whether a run is paused, and whether it may be: a fold over its events in the order of the log.

Only training is paused. It is the stage that takes days, and the one that goes on from where it was.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ropewalk.events.base import Message
from ropewalk.events.run import (
    RunAccepted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunRejected,
    RunResumed,
    StageCompleted,
    StageQueued,
    StageStarted,
)

PAUSABLE = "train"
PAUSED = "the run was paused"  # why its stage was interrupted


@dataclass(frozen=True)
class Standing:
    """How far a run is, as far as a pause is concerned. Times are in seconds since 1970; 0: none."""

    ended: str = ""  # how
    is_training: bool = False  # or waits in line for it, or is paused
    is_trained: bool = False
    paused_unix: float | None = None
    deadline_unix: float = 0.0

    def why_not_pause(self) -> str:
        """What keeps the run from being paused, to be said after its name; empty if nothing does."""
        if self.ended:
            return f"has ended ({self.ended}): nothing is left to pause"
        if self.paused_unix is not None:
            return "is paused already: `ropewalk resume` lets it go on"
        if self.is_trained:
            return "has finished its training: what is left is short and cannot be paused, only cancelled"
        if not self.is_training:
            return "does not train yet: only training can be paused, so wait for its stage `train` or cancel it"
        return ""

    def why_not_resume(self) -> str:
        """What keeps the run from being resumed, to be said after its name; empty if nothing does."""
        if self.ended:
            return f"has ended ({self.ended}): nothing is left to resume"
        return "is not paused: nothing is to be resumed" if self.paused_unix is None else ""

    def deadline_after(self, now: float) -> float:
        """The deadline when the run goes on at `now`: the time of a pause does not count."""
        return self.deadline_unix + max(0.0, now - (self.paused_unix or now)) if self.deadline_unix else 0.0


def standing_of(messages: Iterable[Message]) -> Standing:
    """The standing after messages of one run; others than those of the run family say nothing."""
    standing = Standing()
    for message in messages:
        standing = _after(standing, message)
    return standing


def _after(standing: Standing, message: Message) -> Standing:
    match message:
        case RunAccepted(deadline_unix=deadline):
            return replace(standing, deadline_unix=deadline)
        case StageQueued(stage=stage) | StageStarted(stage=stage) if stage == PAUSABLE:
            return replace(standing, is_training=True)
        case StageCompleted(stage=stage) if stage == PAUSABLE:
            return replace(standing, is_trained=True, paused_unix=None)
        case RunPaused(at_unix=at):
            return replace(standing, paused_unix=at)
        case RunResumed(deadline_unix=deadline):
            return replace(standing, paused_unix=None, deadline_unix=deadline)
        case RunCompleted() | RunFailed() | RunCancelled() | RunRejected():
            return replace(standing, ended=message.name)
        case _:
            return standing
