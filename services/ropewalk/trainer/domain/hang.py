"""Does a group of workers still get on? Pure: sights of its ranks in, the rank that hangs out.

A rank in a collective waits for all others, so when one hangs every rank falls silent. The culprit is the one whose
own work stands still: a stopped process, else the rank that is furthest behind. Where all are equally far, all are
named and their stacks must say more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ropewalk.trainer.domain.sight import PHASES, Sight

STOPPED_S = 5.0  # a process that a signal holds for so long will not go on by itself
_FLOOR_S = 30.0  # of silence in a step, however short steps are: a busy machine may freeze a process for seconds
_TIMES_USUAL = 5.0  # NVIDIA's resiliency extension takes five times what it has learned, too
_LONGEST_GAP_S = 1.0  # between two looks: whoever did not look himself cannot say that nothing happened
_MOST = 8  # ranks in a sentence
_QUICK = frozenset({"data", "step", "replay"})  # what happens in every step; all else may take minutes
_WAITING = ("torch/distributed/", "_engine_run_backward")  # where a stack says that a rank is in a collective


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Why the group does not get on: `ranks` are the culprits, in `phase` of `step`."""

    ranks: tuple[int, ...]
    step: int
    phase: str
    what: str

    @property
    def detail(self) -> str:
        """One sentence."""
        who = f"rank {self.ranks[0]}" if len(self.ranks) == 1 else f"ranks {', '.join(map(str, self.ranks[:_MOST]))}"
        return f"{who} {self.what} in phase {self.phase} of step {self.step}"

    def narrowed(self, stacks: Mapping[int, str]) -> "Hang":
        """The same with those ranks only whose stacks do not wait for others, if there are any."""
        own = tuple(rank for rank in self.ranks if not any(mark in stacks.get(rank, "") for mark in _WAITING))
        return replace(self, ranks=own) if own else self


@dataclass(kw_only=True)
class HangWatch:
    """Keeps for each rank how long it was *seen* to be silent. `longest_s` is for what has no usual length yet."""

    longest_s: float
    _silent: dict[int, float] = field(default_factory=dict)
    _stopped: dict[int, float] = field(default_factory=dict)
    _at: float | None = None

    def look(self, sights: Sequence[Sight], now: float) -> Hang | None:
        """Look at all ranks at `now` (monotonic seconds). A look that comes late counts as one second."""
        gap = 0.0 if self._at is None else min(now - self._at, _LONGEST_GAP_S)
        self._at = now
        for sight in sights:
            seen = self._silent.get(sight.rank, 0.0) + gap
            self._silent[sight.rank] = min(seen, sight.silent_s)
            self._stopped[sight.rank] = self._stopped.get(sight.rank, 0.0) + gap if sight.is_stopped else 0.0
        stopped = [sight for sight in sights if self._stopped[sight.rank] >= STOPPED_S]
        if stopped:
            return _hang(stopped, "was stopped from outside (SIGSTOP, a debugger or a freezer)")
        silent = [sight for sight in sights if self._silent[sight.rank] > limit_s(sight, self.longest_s)]
        if not silent or len(silent) < len(sights):  # one that still says something does not wait for the silent ones
            return None
        return _hang(_furthest_behind(sights), f"said nothing for {min(self._silent.values()):.0f} s")


def limit_s(sight: Sight, longest_s: float) -> float:
    """How long a rank may stay in the phase it is in without a word."""
    if sight.phase not in _QUICK or not sight.usual_s:
        return max(longest_s, _TIMES_USUAL * sight.usual_s)
    return min(longest_s, max(_FLOOR_S, _TIMES_USUAL * sight.usual_s))


def _furthest_behind(sights: Sequence[Sight]) -> list[Sight]:
    first = min(_place(sight) for sight in sights)
    return [sight for sight in sights if _place(sight) == first]


def _place(sight: Sight) -> tuple[int, int]:
    return sight.step, PHASES.index(sight.phase)


def _hang(culprits: Sequence[Sight], what: str) -> Hang:
    return Hang(
        ranks=tuple(sight.rank for sight in culprits), step=culprits[0].step, phase=culprits[0].phase, what=what
    )
