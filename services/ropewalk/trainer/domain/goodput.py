"""Where the seconds of a training go: every one of them has one name, through any number of lost workers. Pure.

The ranks of a group step together, so a second of the group is one of each rank. A row of metrics covers the time
since the row before; what no row covers has a name by where it lies:

    before the first step                               compile (start, load and compile)
    between the last step of a group and the next one's restart (finding out, back-off, start, load; or a rollback)
    between two rows of one group, and at the end       idle

A step that was taken before is replay. A checkpoint stalls training by more than the call that starts it: on a GPU the
copy delays the next update, on a CPU the writer competes for the core. So the stall also has what the steps beside a
flight took longer than the median of those without one.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from ropewalk.events.training import StepMetrics, TimeAccount

_WINDOW = 50
_FEWEST = 5  # steps without a flight that say what a step takes


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What a step is measured by, in floating-point operations; 0: not known. Rates are those of all ranks together."""

    flops_per_token: float = 0.0
    peak_flops: float = 0.0  # a second, from the table of devices
    gemm_flops: float = 0.0  # a second, of a large product measured there


@dataclass(kw_only=True)
class Goodput:
    """The account of one run from `began`, in seconds since 1970, as far as rows have come."""

    began: float
    before: TimeAccount = field(default_factory=TimeAccount)  # of earlier holders of the stage
    yardstick: Yardstick = field(default_factory=Yardstick)
    _seconds: dict[str, float] = field(default_factory=dict)
    _until: float = 0.0
    _frontier: int = 0  # the first step that nobody has taken
    _has_stepped: bool = False  # this group
    _last_step: int = -1
    _calm: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _flight: list[float] = field(default_factory=list)  # seconds above the median, of steps beside the present flight
    _tokens: int = 0
    _computing_s: float = 0.0  # for those tokens

    def __post_init__(self) -> None:
        self._until = self.began
        self._frontier = self.before.num_steps

    def group_started(self, yardstick: Yardstick) -> None:
        """A group is ready for its first step."""
        self._land()
        self.yardstick, self._has_stepped = yardstick, False

    def stepped(self, rows: Sequence[StepMetrics]) -> None:
        """Rows came, in the order of their steps. Those that were counted before change nothing."""
        for row in rows:
            if row.time_unix > self._until:
                self._gap(row.time_unix - _length(row), goes_back=row.step <= self._last_step)
                self._count(row)
                self._until, self._last_step = row.time_unix, row.step

    def ended(self, now: float, spent: Mapping[Any, float]) -> TimeAccount:
        """The last account: since the last row the worker did what `spent` says, by phase."""
        self._land()
        rest = max(0.0, now - self._until)
        for kind, phase in (("checkpoint", "save"), ("evaluate", "evaluate")):
            seconds = min(rest, spent.get(phase, 0.0))
            self._add(kind, seconds)
            rest -= seconds
        self._add("idle", rest)
        self._until = max(now, self._until)
        return self.account()

    def account(self) -> TimeAccount:
        """So far."""
        sums = {f"{kind}_s": getattr(self.before, f"{kind}_s") + seconds for kind, seconds in self._seconds.items()}
        return self.before.model_copy(
            update={
                **sums,
                "wall_s": self.before.wall_s + self._until - self.began,
                "num_steps": self._frontier,
                **self._use(),
            }
        )

    def _use(self) -> dict[str, float]:
        """Of the devices, in the steps of this holder; of those before where it took none."""
        if not self._computing_s:
            return {}
        rate = self.yardstick.flops_per_token * self._tokens / self._computing_s
        peak, gemm = self.yardstick.peak_flops, self.yardstick.gemm_flops
        return {"mfu": rate / peak if peak else 0.0, "gemm_mfu": rate / gemm if gemm else 0.0}

    def _gap(self, until: float, *, goes_back: bool) -> None:
        """What lies between the last row and the begin of this one; workers that go back load their weights again."""
        first = "restart" if self._frontier else "compile"
        kind = "idle" if self._has_stepped and not goes_back else first
        self._add(kind, max(0.0, until - self._until))
        self._has_stepped = True

    def _count(self, row: StepMetrics) -> None:
        overlap = max(0.0, self._until - (row.time_unix - _length(row)))  # clocks are not exact: no second counts twice
        computing_s = row.step_s - row.data_s - row.compile_s
        is_replay = row.step < self._frontier
        self._frontier = max(self._frontier, row.step + 1)
        self._add("data", row.data_s)
        self._add("checkpoint", row.checkpoint_s)
        self._add("compile", row.compile_s)
        self._add("evaluate", row.evaluate_s)
        self._add("idle", row.other_s)
        self._add("replay" if is_replay else "step", computing_s - overlap)
        if not row.compile_s:
            self._tokens += row.tokens
            self._computing_s += row.step_s
        if not is_replay:
            self._weigh(row.saving, computing_s)

    def _weigh(self, saving: bool, computing_s: float) -> None:
        """Compare a step beside a flight with those without one."""
        if not saving:
            self._land()
            self._calm.append(computing_s)
        elif len(self._calm) >= _FEWEST:
            self._flight.append(computing_s - median(self._calm))

    def _land(self) -> None:
        """A flight ended: what its steps took longer, taken together, was a stall."""
        stall_s, self._flight = max(0.0, sum(self._flight)), []
        self._add("checkpoint", stall_s)
        self._add("step", -stall_s)

    def _add(self, kind: str, seconds: float) -> None:
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds


def per_group(one: Yardstick, num_workers: int) -> Yardstick:
    """The yardstick of a group from that of one rank."""
    return replace(one, peak_flops=one.peak_flops * num_workers, gemm_flops=one.gemm_flops * num_workers)


def _length(row: StepMetrics) -> float:
    return row.step_s + row.checkpoint_s + row.evaluate_s + row.other_s
