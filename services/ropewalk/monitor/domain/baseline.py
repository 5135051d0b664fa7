"""Gathers the baseline of a model version: the requests from a success on, until enough of them have succeeded.

Failures before the first success are no part of it, and never more than a few requests per wanted success are kept,
so a model that fails from its first request costs the same however long it does.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import Any, Self, TypeVar

from ropewalk.monitor.domain.novelty import MAX_BYTES
from ropewalk.monitor.domain.signals import MEASURES, MeasuredRequest, measured, succeeded

T = TypeVar("T")
_KEPT_PER_SUCCESS = 4
LEAST_VALUES = 10  # per half of a baseline; a signal with fewer is not watched


@dataclass(frozen=True)
class Gathered:
    """What a request gives to the baseline: its signals, in the order of MEASURES, and the end of its prompt."""

    succeeded: bool
    prompt: str
    values: tuple[float, ...]


@dataclass
class Baseline:
    """Requests on their way to a baseline. `wanted`: successes that complete it."""

    wanted: int
    kept: deque[Gathered] = field(default_factory=deque)
    num_succeeded: int = 0  # of those kept
    num_seen: int = 0
    num_good: int = 0  # of those seen
    began_at: str = ""

    def add(self, request: MeasuredRequest) -> None:
        """Take one more request."""
        good = succeeded(request)
        self.began_at = self.began_at or request.time
        self.num_seen += 1
        self.num_good += good
        if not self.kept and not good:
            return
        prompt = request.prompt[-MAX_BYTES:]
        self.kept.append(Gathered(good, prompt, tuple(measured(name, request) for name in MEASURES)))
        self.num_succeeded += good
        if len(self.kept) > self.room:
            self._forget_the_oldest()

    @property
    def room(self) -> int:
        """Requests that are kept at most."""
        return _KEPT_PER_SUCCESS * self.wanted

    @property
    def is_complete(self) -> bool:
        """Whether enough have succeeded."""
        return self.num_succeeded >= self.wanted

    def halves(self, name: str) -> tuple[list[float], list[float]]:
        """The values of a signal in two halves; empty ones if there are too few to watch it."""
        place = list(MEASURES).index(name)
        return two_halves([row.values[place] for row in self.kept if not math.isnan(row.values[place])])

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values; the inverse of `restore`."""
        kept = [[row.succeeded, row.prompt, *row.values] for row in self.kept]
        return {"num_seen": self.num_seen, "num_good": self.num_good, "began_at": self.began_at, "kept": kept}

    @classmethod
    def restore(cls, wanted: int, state: dict[str, Any]) -> Self:
        """Continue from a state."""
        kept = deque(Gathered(good, prompt, tuple(values)) for good, prompt, *values in state["kept"])
        seen, good, began_at = state["num_seen"], state["num_good"], state["began_at"]
        return cls(wanted, kept, sum(row.succeeded for row in kept), seen, good, began_at)

    def _forget_the_oldest(self) -> None:
        oldest = self.kept.popleft()
        self.num_succeeded -= oldest.succeeded
        self.kept = deque(dropwhile(lambda row: not row.succeeded, self.kept))


def two_halves(values: list[T]) -> tuple[list[T], list[T]]:
    """The older and the newer half; empty ones if they would be too short for a reference."""
    middle = len(values) // 2
    return (values[:middle], values[middle:]) if middle >= LEAST_VALUES else ([], [])
