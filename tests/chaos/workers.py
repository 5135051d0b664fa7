"""What stages run in processes of their own. Light to import: every child imports it afresh."""

import ctypes
import os
import signal
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_NUM_WORKERS = 2


def add_up(seconds: float, report: Callable[[object], None]) -> int:
    """Work in one child that tells how far it is."""
    for step in range(3):
        time.sleep(seconds / 3)
        report(step)
    return 3


def work_as_group(seconds: float, report: Callable[[object], None]) -> int:
    """A group of processes that fails as a whole if one of them is killed, as Ray's training workers do."""
    workers = [_fork(seconds) for _ in range(_NUM_WORKERS)]
    statuses = [os.waitpid(pid, 0)[1] for pid in workers]
    if any(statuses):
        raise ChildProcessError(f"a worker of the group died: {statuses}")
    report(_NUM_WORKERS)
    return _NUM_WORKERS


def _fork(seconds: float) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        time.sleep(seconds)
    os._exit(0)
