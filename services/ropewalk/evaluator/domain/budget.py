"""How often a gate was asked before, and how sure it must be therefore.

Whoever may try until chance agrees will be promoted by chance. So the k-th checkpoint that is judged against the same
version of a model may be promoted by chance in ALPHA / (k (k + 1)) of all cases: whatever the tries have in common and
however many there are, that is ALPHA in all (union bound; the shares of all k add up to 1). The first try is the
usual 95 % interval. Who spends a level by a rule that was fixed before needs no number of tries (alpha spending, Lan &
DeMets 1983; for hypotheses without end, Foster & Stine 2008). A promotion brings another opponent, and with it a new
budget.
"""

from dataclasses import dataclass, field

from ropewalk.evaluator.domain.excerpts import place
from ropewalk.events.base import Message
from ropewalk.events.evaluation import EvaluationStarted, GateDecided
from ropewalk.events.run import RunCancelled, RunFailed

ALPHA = 0.05  # false promotions in all
FACTS = tuple(f"{kind.subject_prefix()}.*" for kind in (EvaluationStarted, GateDecided, RunFailed, RunCancelled))


@dataclass(frozen=True)
class Try:
    """Which judgement this is, from 1 on, of those by a gate set; it is the `look`-th one of the same checkpoint."""

    gate_set: str = ""
    number: int = 1
    look: int = 1

    @property
    def level(self) -> float:
        """Of the two-sided interval, one bound of which promotes."""
        return 1 - 2 * ALPHA / (self.number * (self.number + 1))

    def said(self, opponent: str) -> str:
        """Why the interval is wider than the first time; nothing then."""
        if self.number == 1:
            return ""
        return (
            f"this is try {self.number} against {opponent}: all tries together may promote by chance in {ALPHA:.0%} of "
            f"cases, which leaves {50 * (1 - self.level):.2g}% to this one"
        )


FIRST = NOT_COUNTED = Try()


@dataclass
class Tries:
    """The judgements of checkpoints by each gate set, oldest first, with their runs: a second look is a try more.

    One counts from its beginning on, so that tries side by side are several; it no longer does when its run ends with
    nothing decided, for then nobody has learnt anything, nor if nothing of what decides was measured, as before people
    have labelled anything: such a look could promote nobody.
    """

    begun: dict[str, dict[tuple[str, int], str]] = field(default_factory=dict)  # runs by gate set, checkpoint and look
    unmeasured: set[tuple[str, int]] = field(default_factory=set)  # checkpoints and looks
    decided: set[str] = field(default_factory=set)  # runs
    ended: set[str] = field(default_factory=set)

    def add(self, message: Message) -> None:
        """Take one fact into account, in the order of the log."""
        match message:
            case EvaluationStarted() if message.gate_set:
                looked = (message.checkpoint_id, message.look)
                self.begun.setdefault(message.gate_set, {}).setdefault(looked, message.run_id)
            case GateDecided():
                self.decided.add(message.run_id)
                if not message.comparison.num_items:
                    self.unmeasured.add((message.checkpoint_id, message.look))
            case RunFailed() | RunCancelled():
                self.ended.add(message.run_id)

    def of(self, gate_set: str, checkpoint_id: str, look: int = 1) -> Try:
        """Which try a judgement of the checkpoint is."""
        counted = 1
        for other, run_id in self.begun.get(gate_set, {}).items():
            if other == (checkpoint_id, look):
                break
            counted += other not in self.unmeasured and (run_id in self.decided or run_id not in self.ended)
        return Try(gate_set, counted, look)


def gate_set(model: str, opponent_version: int) -> str:
    """What one budget is counted for. No other name of an alias, seed or held-out share makes it another one."""
    return f"{model}/{opponent_version}"


def gate_seed(model: str) -> int:
    """What is drawn to judge by is the model's, not the run's: another seed in a recipe is no other draw."""
    return place(f"gate/{model}", 0) % 2**32
