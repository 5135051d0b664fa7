"""The CPU time of a stage's processes under Ray, for the cost of the stage.

Those of hosts and trials are reported (they may run on other machines, and be gone by the end); a private Ray's
daemons and actors are descendants of this process and are read at the end.
"""

from dataclasses import dataclass, field

import psutil


@dataclass(frozen=True, kw_only=True)
class Beat:
    """CPU seconds that a process which does the work has used so far."""

    node: str
    pid: int
    cpu_seconds: float


@dataclass
class CpuMeter:
    """Seconds by process."""

    _workers: dict[tuple[str, int], float] = field(default_factory=dict)

    def note(self, beat: Beat) -> None:
        """A worker says how much it has used so far."""
        self._workers[beat.node, beat.pid] = beat.cpu_seconds

    def total_s(self) -> float:
        """Everything but this process itself."""
        pids = {pid for _, pid in self._workers}
        others = [child for child in psutil.Process().children(recursive=True) if child.pid not in pids]
        return sum(self._workers.values()) + sum(_used(process) for process in others)


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
