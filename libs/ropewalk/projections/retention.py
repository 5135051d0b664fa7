"""Which checkpoints of a run stay. Pure: facts of the run's timeline in, checkpoints that may go out.

These stay: the newest `last` verified ones, never fewer than two (one may turn out broken when it is read); of the
history the first of each doubling of steps, the newest `history` of those, so that what lies further back lies wider
apart; the `best` by validation loss; and every one that somebody holds: that training resumed from, until a newer one
is verified, that was final, exported, judged, deployed or promoted, and that is pinned, for a time or for good.
"""

import math
from copy import deepcopy
from dataclasses import dataclass, field

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPinned,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
    CheckpointValidated,
    ModelPromoted,
)
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.serving import ModelDeployed
from ropewalk.events.training import TrainingCompleted, TrainingResumed, TrainingValidated
from ropewalk.recipes.recipe import Plan

FEWEST_KEPT = 2  # one may turn out broken when it is read
_OTHERS = (TrainingResumed, TrainingValidated, TrainingCompleted, GateDecided, ModelDeployed)
FACTS = ("evt.checkpoint.*.v1", *(kind.subject_prefix() for kind in _OTHERS))
"""The subjects, without the run, of all that this rests on: a few messages for each checkpoint, and none for a step."""
_HOLDING = (TrainingCompleted, CheckpointExported, GateDecided, ModelDeployed, ModelPromoted)


@dataclass(frozen=True, order=True)
class Checkpoint:
    """A checkpoint in the order of the run: a later lease (epoch) beats a later step."""

    epoch: int
    step: int
    checkpoint_id: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How many stay, by each of the reasons."""

    last: int
    history: int = 0
    best: int = 0

    @classmethod
    def of(cls, plan: Plan) -> "Policy":
        """As the recipe says it."""
        return cls(last=plan.keep_checkpoints, history=plan.keep_history, best=plan.keep_best)


@dataclass
class Holdings:
    """What a timeline says about a run's checkpoints."""

    saved: dict[str, CheckpointSaved] = field(default_factory=dict)
    verified: dict[str, Checkpoint] = field(default_factory=dict)
    pruned: set[str] = field(default_factory=set)
    quarantined: dict[str, CheckpointQuarantined] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    pins: dict[str, float] = field(default_factory=dict)  # until when, in Unix seconds; 0: for good
    losses: dict[int, float] = field(default_factory=dict)  # of looks in the training, by the number of steps done
    validated: dict[str, float] = field(default_factory=dict)  # beside the training, by checkpoint
    lowest: float = math.inf  # of the validations, those of checkpoints that are gone among them
    waited: int = 0  # validations in a row that were no lower
    most_waited: int = 0  # at any time: what was once decided by it stays decided
    resumed_from: str = ""

    def add(self, message: Message) -> None:
        """Take one message of the timeline into account, in the order of the log."""
        match message:
            case CheckpointSaved():
                self._save(message)
            case CheckpointCommitted():
                self._verify(message)
            case CheckpointQuarantined():
                self.verified.pop(message.checkpoint_id, None)
                self.quarantined[message.checkpoint_id] = message
            case CheckpointPruned():
                self.verified.pop(message.checkpoint_id, None)
                self.pruned.add(message.checkpoint_id)
            case CheckpointPinned():
                self.pins.pop(message.checkpoint_id, None)
                if message.pinned:
                    self.pins[message.checkpoint_id] = message.until_unix
            case TrainingResumed():
                self.resumed_from = message.checkpoint_id
            case CheckpointValidated() | TrainingValidated():
                self._look(message)
            case _ if isinstance(message, _HOLDING):
                self.held.add(message.checkpoint_id)

    def after(self, *messages: Message) -> "Holdings":
        """Others, which take these messages into account as well."""
        others = deepcopy(self)
        for message in messages:
            others.add(message)
        return others

    @property
    def standing(self) -> dict[str, CheckpointSaved]:
        """What was saved and neither pruned nor set aside, by id, oldest first."""
        gone = self.pruned | self.quarantined.keys()
        return {name: saved for name, saved in self.saved.items() if name not in gone}

    def loss_of(self, checkpoint_id: str, step: int) -> float | None:
        """On held-out data, in nats per token; None where nobody looked.

        What was measured beside the training goes before what it saw itself: the two are not compared.
        """
        return self.validated.get(checkpoint_id) if self.validated else self.losses.get(step)

    @property
    def best(self) -> Checkpoint | None:
        """The verified checkpoint with the lowest validation loss."""
        return next(iter(_best(self, len(self.verified))), None)

    def is_pinned(self, checkpoint_id: str, now: float) -> bool:
        """Whether somebody asked for it to stay, at a time in Unix seconds."""
        until = self.pins.get(checkpoint_id)
        return until is not None and (until == 0 or until > now)

    def _save(self, message: CheckpointSaved) -> None:
        self.saved[message.checkpoint_id] = message
        self.pruned.discard(message.checkpoint_id)
        self.quarantined.pop(message.checkpoint_id, None)
        self.validated.pop(message.checkpoint_id, None)
        if message.held_out_loss:  # also where a kill took the word of who looked
            self.losses[message.step] = message.held_out_loss

    def _look(self, message: CheckpointValidated | TrainingValidated) -> None:
        if isinstance(message, TrainingValidated):
            self.losses[message.step] = message.loss
            return
        is_known = (
            message.checkpoint_id in self.validated
        )  # told twice it is one checkpoint still; the last word counts
        self.validated[message.checkpoint_id] = message.loss
        self.waited = 0 if message.loss < self.lowest else self.waited + (not is_known)
        self.most_waited = max(self.most_waited, self.waited)
        self.lowest = min(self.lowest, message.loss) if message.loss == message.loss else self.lowest

    def _verify(self, message: CheckpointCommitted) -> None:
        known = self.saved.get(message.checkpoint_id)
        epoch = known.epoch if known else 0
        checkpoint = Checkpoint(epoch, message.step, message.checkpoint_id, message.uri)
        self.verified[message.checkpoint_id] = checkpoint
        resumed = self.verified.get(self.resumed_from)
        if resumed and resumed < checkpoint:
            self.resumed_from = ""


def reasons_to_keep(holdings: Holdings, policy: Policy, now: float) -> dict[str, str]:
    """By the id of each verified checkpoint why it stays, in a word; empty if it may go. `now` in Unix seconds."""
    by_age = sorted(holdings.verified.values())
    reasons = {
        "last": by_age[-max(policy.last, FEWEST_KEPT) :],
        "history": _history(by_age, policy.history),
        "best": _best(holdings, policy.best),
        "used": [each for each in by_age if each.checkpoint_id in holdings.held | {holdings.resumed_from}],
        "pinned": [each for each in by_age if holdings.is_pinned(each.checkpoint_id, now)],
    }
    return {each.checkpoint_id: next((why for why, kept in reasons.items() if each in kept), "") for each in by_age}


def to_prune(holdings: Holdings, policy: Policy, now: float) -> tuple[Checkpoint, ...]:
    """The verified checkpoints that may go, oldest first."""
    reasons = reasons_to_keep(holdings, policy, now)
    return tuple(each for each in sorted(holdings.verified.values()) if not reasons[each.checkpoint_id])


def _history(by_age: list[Checkpoint], count: int) -> list[Checkpoint]:
    """The first of each doubling of steps: what was once chosen stays chosen while the run goes on."""
    first: dict[int, Checkpoint] = {}
    for each in by_age:
        first.setdefault(each.step.bit_length(), each)
    return [first[doubling] for doubling in sorted(first)[-count:]] if count else []


def _best(holdings: Holdings, count: int) -> list[Checkpoint]:
    found = ((holdings.loss_of(each.checkpoint_id, each.step), each) for each in sorted(holdings.verified.values()))
    judged = [(loss, each) for loss, each in found if loss is not None and not math.isnan(loss)]
    return [each for _, each in sorted(judged, key=lambda pair: pair[0])[:count]]
