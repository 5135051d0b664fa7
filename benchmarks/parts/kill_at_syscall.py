"""Run a function in a forked child and kill it (SIGKILL) as it enters its n-th system call, before the call is done.

Through ptrace(2), so that every boundary between two calls to the kernel is met and none of the code that is killed
knows of it. Linux only; the child must have one thread.
"""

import ctypes
import os
import signal
from collections.abc import Callable

_TRACEME, _SYSCALL, _SETOPTIONS = 0, 24, 0x4200
_MARK_SYSCALLS, _KILL_WITH_TRACER = 0x1, 0x100000
_SYSCALL_STOP = signal.SIGTRAP | 0x80


def killed_at(number: int, work: Callable[[], None]) -> bool:
    """Whether the child was killed at its system call `number` (from 1); False if it ended well before."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    pid = os.fork()
    if pid == 0:
        libc.ptrace(_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            work()
        except BaseException:  # noqa: BLE001  the parent sees the code
            os._exit(3)
        os._exit(0)
    os.waitpid(pid, 0)
    libc.ptrace(_SETOPTIONS, pid, 0, _MARK_SYSCALLS | _KILL_WITH_TRACER)
    entered, inside, passed_on = 0, False, 0
    while True:
        libc.ptrace(_SYSCALL, pid, 0, passed_on)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            if code := os.WEXITSTATUS(status):
                raise RuntimeError(f"the child failed with {code}")
            return False
        if os.WIFSIGNALED(status):
            return True
        stopped_by, passed_on = os.WSTOPSIG(status), 0
        if stopped_by != _SYSCALL_STOP:
            passed_on = stopped_by
            continue
        inside = not inside
        entered += inside
        if inside and entered == number:
            os.kill(pid, signal.SIGKILL)
