"""Who supervises a state folder: a lock that the kernel lets go of when the supervisor dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ropewalk.local.errors import LocalError
from ropewalk.local.layout import Layout

READY_TIMEOUT_S = 120.0  # for each group of processes
_LOCK_PATIENCE_S = 2.0  # those who ask whether the folder is held hold it for a moment themselves


class AlreadyRunningError(LocalError):
    """Another supervisor holds the state folder."""


@contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Hold the state folder while inside; the kernel lets go of it when we die. Raises AlreadyRunningError."""
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    with layout.lock_file.open("a+") as file:
        while not _lock(file):
            if time.monotonic() > deadline:
                raise AlreadyRunningError(f"a stack already runs in {layout.state_dir}")
            time.sleep(0.02)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def holder(layout: Layout) -> int:
    """The process id of the living supervisor of the state folder; 0 if there is none."""
    if not layout.lock_file.exists():
        return 0
    with layout.lock_file.open("r+") as file:
        return 0 if _lock(file) else int(file.read().strip() or 0)


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
