"""Finding and ending processes of a stack, also those that outlived their supervisor.

Every process of a stack carries the state folder and its own name in its environment, and its children inherit
both. So the search needs no list of process ids, which would be stale exactly when it is needed.
"""

import ctypes
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from ropewalk.local.names import MARKER, PROCESS_MARKER

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Runs in a new child before exec: the kernel kills it when the supervisor dies, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def stack_processes(state_dir: Path, process: str = "") -> list[psutil.Process]:
    """Living processes of the stack, or of one process of it and its descendants."""
    wanted = {MARKER: str(state_dir)} | ({PROCESS_MARKER: process} if process else {})
    return [found for found in psutil.process_iter() if _carries(found, wanted)]


def kill_leftovers(state_dir: Path, process: str = "", timeout_s: float = 5.0) -> int:
    """SIGKILL whatever of the stack still lives, until nothing does. Returns how many were killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + timeout_s
    while found := stack_processes(state_dir, process):
        for leftover in found:
            killed.add(leftover.pid)
            with suppress(psutil.NoSuchProcess):
                leftover.kill()
        psutil.wait_procs(found, timeout=0.2)
        if time.monotonic() > deadline:
            break
    return len(killed)


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """Resident memory of processes; those that ended meanwhile count nothing."""
    return int(_total(processes, lambda process: process.memory_info().rss))


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of processes so far, in seconds; those that ended meanwhile count nothing."""
    return _total(processes, lambda process: sum(process.cpu_times()[:2]))


def _total(processes: Iterable[psutil.Process], amount: Callable[[psutil.Process], float]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            total += amount(process)
    return total


def _carries(process: psutil.Process, wanted: dict[str, str]) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        environment = process.environ()
    except (psutil.Error, OSError):  # another user's, or gone
        return False
    return all(environment.get(name) == value for name, value in wanted.items())
