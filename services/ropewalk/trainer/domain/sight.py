"""What one look at a rank from outside shows. A value: where it comes from is `adapters/stamps.py` and /proc."""

from dataclasses import dataclass
from typing import Literal, get_args

Phase = Literal["start", "load", "compile", "replay", "data", "step", "save", "evaluate", "idle"]
PHASES: tuple[Phase, ...] = get_args(Phase)
"""What a rank may be at, in the order in which it comes there."""

STOPPED = ("T", "t")
"""States in /proc."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One rank at one moment. Seconds are those of the clock of its own machine that no one can set."""

    rank: int
    step: int
    phase: Phase
    silent_s: float  # since it last said what it does
    usual_s: float  # the 99th percentile of its last stays in this phase; 0: it never left it before
    state: str  # as in /proc: R runs, S sleeps, D waits in the kernel, T was stopped; empty: it is gone
    ran_s: float  # CPU time of the thread that trains
    queued_s: float  # it could have run, and others had its core

    @property
    def is_stopped(self) -> bool:
        """A signal, a debugger or a freezer holds it."""
        return self.state in STOPPED
