"""Is one rank slower than the others? Pure: sights of the ranks in, the slow one out.

All ranks take a step in the same time, for they wait for each other. What differs is how much of it a rank works:
its CPU time, the time that it waited for a core, and the time that it was stopped. The others sleep in a collective
meanwhile. So a rank is slow if it works much more of the time than the others, window after window.
On a GPU a rank that waits for its card is busy like all others, so there nobody is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from ropewalk.trainer.domain.sight import Sight

WINDOW_STEPS = 12  # four windows are 48 steps: three whole ones lie in them wherever the slowness begins
WINDOW_S = 1.0  # at least: shorter ones compare the moods of the kernel's scheduler
WINDOWS = 3  # in a row
SLOW = 0.7  # of the speed of the others; at half speed it is about .5


@dataclass(frozen=True, kw_only=True)
class Straggler:
    """`rank` works at `speed` times that of the others since `since_step`."""

    rank: int
    speed: float
    since_step: int
    step: int


@dataclass(kw_only=True)
class StragglerWatch:
    """Names every slow rank once, and again only after it was as fast as the others.

    `batch_size` is the windows of a step, of which some ranks have one more than others.
    """

    batch_size: int
    _began: tuple[float, dict[int, Sight]] | None = None
    _stopped: dict[int, float] = field(default_factory=dict)
    _at: float = 0.0
    _suspect: tuple[int, int, int] = (-1, 0, 0)  # rank, windows in a row, step of the first
    _named: int = -1

    def look(self, sights: Sequence[Sight], now: float) -> Straggler | None:
        """Look at all ranks at `now` (monotonic seconds)."""
        if len(sights) < 2 or any(sight.phase not in ("step", "data", "idle") for sight in sights):
            self._began = None  # a save or an evaluation is not shared evenly
            return None
        if self._began is None:
            self._begin(sights, now)
            return None
        for sight in sights:
            if sight.is_stopped:
                self._stopped[sight.rank] = self._stopped.get(sight.rank, 0.0) + now - self._at
        self._at = now
        at, before = self._began
        done = min(sight.step - before[sight.rank].step for sight in sights if sight.rank in before)
        if done < WINDOW_STEPS or now - at < WINDOW_S:
            return None
        busy = {sight.rank: self._busy_s(before[sight.rank], sight) for sight in sights}
        steps = before[sights[0].rank].step, sights[0].step
        self._begin(sights, now)
        return self._judge(busy, *steps)

    def _begin(self, sights: Sequence[Sight], now: float) -> None:
        self._began, self._at, self._stopped = (now, {sight.rank: sight for sight in sights}), now, {}

    def _busy_s(self, before: Sight, after: Sight) -> float:
        worked = after.ran_s - before.ran_s + after.queued_s - before.queued_s
        return worked + self._stopped.get(after.rank, 0.0)

    def _judge(self, busy: dict[int, float], first_step: int, step: int) -> Straggler | None:
        slowest = max(busy, key=lambda rank: busy[rank])
        per_window = {rank: seconds / len(range(rank, self.batch_size, len(busy))) for rank, seconds in busy.items()}
        speed = max(_speed(slowest, busy), _speed(slowest, per_window))  # how much of it is by windows nobody knows
        if speed >= SLOW:
            self._suspect, self._named = (-1, 0, 0), -1
            return None
        rank, windows, since = self._suspect
        self._suspect = (slowest, windows + 1, since) if rank == slowest else (slowest, 1, first_step)
        if self._suspect[1] < WINDOWS or self._named == slowest:
            return None
        self._named = slowest
        return Straggler(rank=slowest, speed=speed, since_step=self._suspect[2], step=step)


def _speed(rank: int, seconds: dict[int, float]) -> float:
    """Of one rank, in that of the others."""
    return median(each for other, each in seconds.items() if other != rank) / max(seconds[rank], 1e-9)
