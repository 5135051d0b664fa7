"""One signal over its life: armed against a reference; after an alarm gathering the next one; armed again.

    armed ── the detector's alarm ──► settling ── enough values that agree with each other ──► armed
                                                       like the sealed baseline: the alarm is cleared
                                                       like what the alarm saw: it stays, armed on the new level
                                                       like neither: the next alarm, armed on the new level

A change back to the sealed baseline raises nothing: it clears the alarm once it has lasted. A signal that goes on
moving waits twice as long each time before it is armed again, so what is said of it stays little. Of whatever length
the wait is, only the newest values of it become the reference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ropewalk.monitor.domain.agreement import agree
from ropewalk.monitor.domain.detector import Change, Detector, Floats

_QUIET = 10  # waits: an alarm that comes this long after the arming is no repetition
_MOST_DOUBLINGS = 8  # of the wait before a moving signal is armed again
_MOST_ROUNDS = 4  # a signal that never settles is armed all the same


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The signal left its reference for a level not seen before: an alarm. `at`: the value that showed it.

    `instead`: the alarm before was open still, and this one takes its place.
    """

    at: int
    instead: bool
    change: Change
    statistic: float
    reference_mean: float


@dataclass(frozen=True, kw_only=True)
class Returned:
    """The signal is as in its baseline again."""

    at: int
    mean: float


def _none() -> Floats:
    return np.empty(0)


@dataclass
class Signal:
    """The state of one signal. `wait`: values after an alarm before it may be armed again, at least."""

    first: Floats  # the two halves of the sealed baseline
    second: Floats
    threshold: float
    wait: int
    detector: Detector
    is_open: bool = False  # an alarm was raised and not cleared
    settling: bool = False
    level: Floats = field(default_factory=_none)  # what the newest alarm saw
    kept: Floats = field(default_factory=_none)  # the newest values since, and their times
    kept_times: list[str] = field(default_factory=list)
    num_waited: int = 0
    repetitions: int = 0
    rounds: int = 0

    @classmethod
    def sealed(cls, first: Sequence[float], second: Sequence[float], threshold: float, wait: int) -> Self:
        """Armed against a baseline."""
        detector = Detector.from_baseline(first, second, threshold)
        return cls(np.asarray(first), np.asarray(second), threshold, wait, detector)

    @property
    def baseline_mean(self) -> float:
        """The mean of the sealed baseline, as alarms tell it."""
        return float(self.second.mean())

    def observe_all(self, values: Floats, times: Sequence[str], uniforms: Floats) -> Iterator[Moved | Returned]:
        """Take values; what is found out on the way. Must be run to its end."""
        at = 0
        while at < len(values):
            if self.settling:
                taken = min(max(1, self._patience - self.num_waited), len(values) - at)
                self._gather(values[at : at + taken], times[at : at + taken])
                at += taken
                if self.num_waited >= self._patience:
                    yield from self._settle(at - 1)
            else:
                at += self.detector.observe_all(values[at:], times[at:], uniforms[at:])
                if self.detector.alarmed:
                    yield from self._leave(at - 1)

    def forget(self) -> None:
        """Take the next values as the baseline. An alarm is no longer open."""
        self.first = self.second = self.level = _none()
        self.is_open, self.repetitions = False, 0
        self._begin_to_settle()

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values; the inverse of `restore`."""
        held = {name: value for name, value in vars(self).items() if name != "detector"}
        plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in held.items()}
        return {**plain, "detector": self.detector.state()}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Continue from a state."""
        arrays = {name: np.array(state[name], dtype=np.float64) for name in ("first", "second", "level", "kept")}
        return cls(**{**state, **arrays, "detector": Detector.restore(state["detector"])})

    @property
    def _patience(self) -> int:
        return int(self.wait * 2**self.repetitions)

    @property
    def _baseline(self) -> Floats:
        return np.concatenate([self.first, self.second])

    def _gather(self, values: Floats, times: Sequence[str]) -> None:
        self.kept = np.concatenate([self.kept, values])[-self.wait :]
        self.kept_times = [*self.kept_times, *times][-self.wait :]
        self.num_waited += len(values)

    def _leave(self, at: int) -> Iterator[Moved]:
        """The detector's alarm: a new level, unless it is the old one."""
        change = self.detector.change()
        seen = self.detector.since(change)
        if (seen == self.detector.baseline_mean).all():  # a constant: only the dice that break ties have moved
            return self._begin_to_settle()
        repeated = self.level.size and self.detector.num_observed < _QUIET * self._patience
        self.repetitions = min(self.repetitions + 1, _MOST_DOUBLINGS) if repeated else 0
        statistic, reference = self.detector.statistic, self.detector.baseline_mean
        was_open = self.is_open
        self._begin_to_settle()
        if not (was_open and agree(self._baseline, seen)):
            self.is_open, self.level = True, seen
            yield Moved(at=at, instead=was_open, change=change, statistic=statistic, reference_mean=reference)

    def _begin_to_settle(self) -> None:
        self.settling, self.kept, self.kept_times = True, _none(), []
        self.num_waited = self.rounds = 0

    def _settle(self, at: int) -> Iterator[Moved | Returned]:
        """The wait is over: arm again, and say so if this is neither the level of the alarm nor the baseline."""
        middle = len(self.kept) // 2
        halves = self.kept[:middle], self.kept[middle:]
        if not agree(*halves) and self.rounds < _MOST_ROUNDS:
            self.rounds += 1
            self.num_waited -= max(1, middle)
            return
        self.settling = False
        if not self.first.size:  # a new baseline was asked for
            self.first, self.second = halves
        if agree(self._baseline, self.kept):
            yield from self._return(at)
        else:
            yield from self._stay(at, halves)

    def _return(self, at: int) -> Iterator[Returned]:
        was_open, self.is_open = self.is_open, False
        self._arm(self.first, self.second)
        if was_open:
            yield Returned(at=at, mean=float(self.kept.mean()))

    def _stay(self, at: int, halves: tuple[Floats, Floats]) -> Iterator[Moved]:
        """Arm on the new level. If the signal moved on during the wait no bet was made, so there is no statistic."""
        was_open = self.is_open
        before = float(self.level.mean()) if was_open else self.baseline_mean
        self._arm(*halves)
        if not (was_open and agree(self.level, self.kept)):
            self.is_open, self.level = True, self.kept
            self.repetitions = min(self.repetitions + 1, _MOST_DOUBLINGS)
            change = Change(0, self.kept_times[0], float(self.kept.mean()))
            yield Moved(at=at, instead=was_open, change=change, statistic=0.0, reference_mean=before)

    def _arm(self, first: Floats, second: Floats) -> None:
        self.detector = Detector.from_baseline(first.tolist(), second.tolist(), self.threshold)
