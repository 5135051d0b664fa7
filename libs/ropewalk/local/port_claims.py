"""Ports spoken for by stacks of this user that have not begun to listen yet.

Between choosing a port and listening on it lie seconds, in which a second stack would find it free. A claim is a
lock on a file named after the port; the kernel lets go of it when the claimant dies, so no claim goes stale. The files
lie in the user's home, where no stranger can be first. Without a home of one's own nothing is claimed: a stack that
finds a port taken moves to another.
"""

import fcntl
import os
import weakref
from pathlib import Path

from ropewalk.runtime.own_folder import make_own_folder


class PortClaims:
    """The claims of one stack, held as long as this object lives."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path("~/.cache/ropewalk/ports").expanduser()
        self._locks: dict[int, int] = {}  # port -> file descriptor
        self._closing = weakref.finalize(self, _close, self._locks)

    def claim(self, port: int) -> bool:
        """Whether the port is ours now; False if another living stack has claimed it."""
        if port in self._locks:
            return True
        try:
            make_own_folder(self._folder)
            descriptor = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._locks[port] = descriptor
        return True


def _close(locks: dict[int, int]) -> None:
    for descriptor in locks.values():
        os.close(descriptor)
    locks.clear()
