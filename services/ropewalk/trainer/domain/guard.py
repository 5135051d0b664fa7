"""What to do about a step's numbers: apply its update, leave it out, or go back to weights that were good.

Pure: all-reduced numbers and what a look at the weights showed in, a decision out; equal on every rank.

A loss or gradient that is not finite, or far from all recent ones, makes its update left out at once. Gradient norms
have heavy tails (in healthy runs at tiny one in 5,000 is 30 times the median) and are clipped anyway, so distance
is measured in robust statistics and the limits are where no healthy step was seen. Two bad steps in a row come from
two different batches: then the weights are to blame, and the run goes back to its newest checkpoint. If the same
step is bad again after that, it was the batch after all, and the updates of that row are left out for good.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from pydantic import JsonValue

_WINDOW = 128  # accepted steps that a new one is compared with
_SILENT = 20  # below so many there is nothing to compare with
_SIGMA_PER_MAD = 1.4826  # of a normal distribution
_ODD_SIGMAS, _ODD_NORM = 3.0, 3.0  # worth a look at the weights, as about one healthy step in 100 is
_SPIKE_SIGMAS, _SPIKE_NATS, _SPIKE_LOSS, _SPIKE_NORM = 10.0, 1.0, 3.0, 1000.0  # the last two in medians
_MAX_SPIKES_IN_A_ROW = 5
MAX_SKIPS_IN_A_ROW = 20
MAX_ROLLBACKS = 4  # each within _WINDOW steps of the furthest one before

Look = Callable[[], str]  # asks every rank what is wrong with the weights; empty: nothing


@dataclass(frozen=True)
class Apply:
    """The update is good."""


@dataclass(frozen=True)
class LeaveOut:
    """The update must not be applied."""

    reason: str


@dataclass(frozen=True)
class RollBack:
    """The weights are bad: continue from the newest checkpoint."""

    reason: str


@dataclass(frozen=True)
class EndTraining:
    """Going on makes no sense. `message` is one sentence for the run's owner."""

    message: str


Verdict = Apply | LeaveOut | RollBack | EndTraining


class StepGuard:
    """Decides step by step. Its state is part of a checkpoint, so that a resumed run decides as the uninterrupted."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._norms: deque[float] = deque(maxlen=_WINDOW)
        self.skips_in_a_row = 0
        self._num_rollbacks = 0
        self._furthest = -1  # the last step that made the run go back
        self._tried: set[int] = set()  # where rows of bad steps began that a rollback did not make good
        self._harmful: set[int] = set()  # steps after whose update the weights were broken, twice

    @property
    def is_suspicious(self) -> bool:
        """Whether the last step was bad: then nothing is saved."""
        return self.skips_in_a_row > 0

    def judge(self, step: int, loss: float, norm: float, look: Look) -> Verdict:
        """What to do with the update of `step`. `look` is called only if a number is odd, and then on every rank."""
        reason, odd = self.doubt(loss, norm)
        broken = look() if odd else ""
        if broken:
            return self._broken(step, broken)
        if not reason and step in self._harmful:
            reason = "twice, the weights were broken after it"
        if not reason:
            self._accept(loss, norm)
            return Apply()
        self.skips_in_a_row += 1
        if self.skips_in_a_row >= MAX_SKIPS_IN_A_ROW:
            return EndTraining(
                f"{MAX_SKIPS_IN_A_ROW} updates in a row could not be applied, the last (step {step}) because {reason}: "
                "lower the learning rates or look at the samples of these steps in the ledger"
            )
        begin = step - self.skips_in_a_row + 1
        if self.skips_in_a_row == 1 or begin in self._tried:
            return LeaveOut(reason)
        self._tried.add(begin)
        return self.roll_back(step, f"two steps in a row were bad, the second because {reason}")

    def doubt(self, loss: float, norm: float | None = None) -> tuple[str, bool]:
        """What is bad about these numbers (empty: nothing), and whether they are at least odd."""
        if not math.isfinite(loss):
            return f"the loss is {loss}", True
        if norm is not None and not math.isfinite(norm):
            return f"the gradient norm is {norm}", True
        if len(self._norms) < _SILENT or self.skips_in_a_row >= _MAX_SPIKES_IN_A_ROW:
            return "", False
        typical, usual_norm = median(self._losses), median(self._norms)
        sigmas = (loss - typical) / max(_SIGMA_PER_MAD * median(abs(one - typical) for one in self._losses), 1e-9)
        times = (norm or 0.0) / max(usual_norm, 1e-12)
        odd = sigmas > _ODD_SIGMAS or times > _ODD_NORM
        if sigmas > _SPIKE_SIGMAS and loss > max(_SPIKE_LOSS * typical, typical + _SPIKE_NATS):
            return f"the loss {loss:.4g} is far above the usual {typical:.4g}", odd
        if times > _SPIKE_NORM:
            return f"the gradient norm {norm:.4g} is far above the usual {usual_norm:.4g}", odd
        return "", odd

    def roll_back(self, step: int, reason: str) -> RollBack | EndTraining:
        """Go back because of what was seen at `step`, unless that was done too often without coming further."""
        self._num_rollbacks = 1 if step > self._furthest + _WINDOW else self._num_rollbacks + 1
        self._furthest = max(step, self._furthest)
        if self._num_rollbacks > MAX_ROLLBACKS:
            return EndTraining(
                f"training went back {MAX_ROLLBACKS} times and came to the same end at step {step}: {reason}; lower "
                "the learning rates, or look at the machine's memory and at the samples of these steps in the ledger"
            )
        return RollBack(reason)

    def as_json(self) -> dict[str, JsonValue]:
        """The state for a checkpoint. Python prints floats so that they read back to the same bits."""
        return {
            "losses": list(self._losses),
            "norms": list(self._norms),
            "skips_in_a_row": self.skips_in_a_row,
            "num_rollbacks": self._num_rollbacks,
            "furthest": self._furthest,
            "tried": [*sorted(self._tried)],
            "harmful": [*sorted(self._harmful)],
        }

    def restore(self, state: dict[str, JsonValue]) -> None:
        """Take over the state of a checkpoint, also of one before losses were kept. What rollbacks taught stays."""
        norms, losses = _numbers(state["norms"]), _numbers(state.get("losses", []))
        together = min(len(norms), len(losses))
        self._norms = deque(norms[:together], maxlen=_WINDOW)
        self._losses = deque(losses[:together], maxlen=_WINDOW)
        self.skips_in_a_row = int(str(state["skips_in_a_row"]))
        furthest = int(str(state.get("furthest", -1)))
        if furthest > self._furthest:
            self._furthest, self._num_rollbacks = furthest, int(str(state.get("num_rollbacks", 0)))
        self._tried |= {int(step) for step in _numbers(state.get("tried", []))}
        self._harmful |= {int(step) for step in _numbers(state.get("harmful", []))}

    def _accept(self, loss: float, norm: float) -> None:
        if self.skips_in_a_row >= _MAX_SPIKES_IN_A_ROW:
            self._losses.clear()  # a rise that lasts is no spike: learn the new level
            self._norms.clear()
        self.skips_in_a_row = 0
        self._losses.append(loss)
        self._norms.append(norm)

    def _broken(self, step: int, broken: str) -> RollBack | EndTraining:
        if step == self._furthest:  # not an accident of the machine: the update before does it
            self._harmful.add(step - 1)
        return self.roll_back(step, broken)


def _numbers(value: JsonValue) -> list[float]:
    assert isinstance(value, list), "a list of numbers"
    return [float(str(each)) for each in value]
