"""What a rank does now, and for how long it did what: the only clock of the training loop.

A phase lasts until the next one is entered, so that no second is counted twice and none is left out.
"""

import time
from collections.abc import Callable

from ropewalk.trainer.domain.sight import PHASES, Phase


class Phases:
    """One rank's. `clock` gives seconds that only ever grow; `on_enter` is told every phase with its step and time."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        on_enter: Callable[[Phase, int, float], None] = lambda *_: None,
    ) -> None:
        self._clock, self._on_enter, self._step = clock, on_enter, 0
        self._since = self.began = clock()
        self._seconds: dict[Phase, float] = {}
        self.now: Phase = "start"
        on_enter(self.now, 0, self._since)

    def enter(self, name: Phase, step: int | None = None) -> None:
        """From here on this rank does `name`, of another step if one is given."""
        self._count()
        self.now = name
        self._step = self._step if step is None else step
        self._on_enter(name, self._step, self._since)

    def take(self) -> dict[Phase, float]:
        """The seconds of each phase since the last time this was asked; they sum to the time between."""
        self._count()
        taken, self._seconds = dict.fromkeys(PHASES, 0.0) | self._seconds, {}
        return taken

    def so_far(self, name: Phase) -> float:
        """The seconds of a phase that is over, since `take`."""
        return self._seconds.get(name, 0.0)

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return self._clock() - self.began

    def _count(self) -> None:
        moment = self._clock()
        self._seconds[self.now] = self._seconds.get(self.now, 0.0) + moment - self._since
        self._since = moment
