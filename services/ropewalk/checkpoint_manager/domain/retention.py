"""Which checkpoints of a run stay.

The newest `keep` verified ones stay, never fewer than two (one may turn out broken when it is read), and none that
somebody works with: the one training resumed from until a newer one is verified, and every one that was final,
exported, judged, deployed or promoted. Everything is decided from these facts of the run's timeline.
"""

from copy import deepcopy
from dataclasses import dataclass, field

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
    ModelPromoted,
)
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.serving import ModelDeployed
from ropewalk.events.training import TrainingCompleted, TrainingResumed

FEWEST_KEPT = 2  # one may turn out broken when it is read
_OTHERS = (TrainingResumed, TrainingCompleted, GateDecided, ModelDeployed)
FACTS = ("evt.checkpoint.*.v1", *(kind.subject_prefix() for kind in _OTHERS))
"""The subjects, without the run, of all that this rests on: a few messages for each checkpoint, and none for a step."""
_PINNING = (TrainingCompleted, CheckpointExported, GateDecided, ModelDeployed, ModelPromoted)


@dataclass(frozen=True, order=True)
class Checkpoint:
    """A checkpoint in the order of the run: a later lease (epoch) beats a later step."""

    epoch: int
    step: int
    checkpoint_id: str
    uri: str


@dataclass
class Holdings:
    """What a timeline says about a run's checkpoints."""

    saved: dict[str, Checkpoint] = field(default_factory=dict)
    verified: dict[str, Checkpoint] = field(default_factory=dict)
    pruned: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    resumed_from: str = ""

    def add(self, message: Message) -> None:
        """Take one message of the timeline into account, in the order of the log."""
        match message:
            case CheckpointSaved():
                self.saved[message.checkpoint_id] = Checkpoint(
                    message.epoch, message.step, message.checkpoint_id, message.uri
                )
                self.pruned.discard(message.checkpoint_id)
            case CheckpointCommitted():
                self._verify(message)
            case CheckpointQuarantined():
                self.verified.pop(message.checkpoint_id, None)
            case CheckpointPruned():
                self.verified.pop(message.checkpoint_id, None)
                self.pruned.add(message.checkpoint_id)
            case TrainingResumed():
                self.resumed_from = message.checkpoint_id
            case _ if isinstance(message, _PINNING):
                self.pinned.add(message.checkpoint_id)

    def after(self, *messages: Message) -> "Holdings":
        """Others, which take these messages into account as well."""
        others = deepcopy(self)
        for message in messages:
            others.add(message)
        return others

    def _verify(self, message: CheckpointCommitted) -> None:
        known = self.saved.get(message.checkpoint_id)
        epoch = known.epoch if known else 0
        checkpoint = Checkpoint(epoch, message.step, message.checkpoint_id, message.uri)
        self.verified[message.checkpoint_id] = checkpoint
        resumed = self.verified.get(self.resumed_from)
        if resumed and resumed < checkpoint:
            self.resumed_from = ""


def to_prune(holdings: Holdings, keep: int) -> tuple[Checkpoint, ...]:
    """The verified checkpoints that may go, oldest first."""
    by_age = sorted(holdings.verified.values())
    surplus = by_age[: -max(keep, FEWEST_KEPT)]
    held = holdings.pinned | {holdings.resumed_from}
    return tuple(checkpoint for checkpoint in surplus if checkpoint.checkpoint_id not in held)
