"""When the demo kills a training worker, and which one. The decision is pure; `flow` acts."""

from dataclasses import dataclass, replace

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import CheckpointSaved
from ropewalk.events.training import TrainingInterrupted, TrainingProgressed, TrainingStarted

KILL_AFTER_SHARE = 0.45  # of the steps: late enough to lose something, early enough to see the recovery
LEAST_CHECKPOINTS = 2


@dataclass(frozen=True)
class KillPlan:
    """What of the run matters for the decision."""

    worker_pids: tuple[int, ...] = ()
    num_checkpoints: int = 0
    share: float = 0.0
    interrupted: bool = False

    @property
    def victim(self) -> int | None:
        """The process to kill now: the last worker, far enough into training, once per run."""
        due = self.share >= KILL_AFTER_SHARE and self.num_checkpoints >= LEAST_CHECKPOINTS
        return self.worker_pids[-1] if due and not self.interrupted and self.worker_pids else None


def observe(plan: KillPlan, message: Message) -> KillPlan:
    """The plan after one more event."""
    match message:
        case TrainingStarted(worker_pids=pids):
            return replace(plan, worker_pids=pids)
        case CheckpointSaved():
            return replace(plan, num_checkpoints=plan.num_checkpoints + 1)
        case TrainingProgressed(step=step, total_steps=total):
            return replace(plan, share=step / total)
        case TrainingInterrupted():
            return replace(plan, interrupted=True)
        case _:
            return plan
