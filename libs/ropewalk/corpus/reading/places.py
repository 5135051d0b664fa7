"""Which places may be read at all: nothing through a link out of a source, nothing of the stack's own, no device.

Whoever may submit a recipe names paths that a daemon reads with its own rights, and whoever may write into a source
can put a link there. What counts is therefore where an *opened* file lies, which nobody can change any more.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from ropewalk.corpus.errors import CorpusError
from ropewalk.corpus.reading.records import Reason

# They hold no data but the kernel's and the secrets of processes.
_NEVER = ("/proc", "/sys", "/dev", "/run/secrets", "/var/run/secrets")
_LINK_DEPTH = 2  # below the stack's folder: its secrets, not its objects


class ClosedError(CorpusError):
    """A place that is not read. `reason` is the word it is counted under; the text says why."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Reach:
    """Where sources may lie: below one of `roots` (none: anywhere), and never below one of `closed`."""

    roots: tuple[Path, ...] = ()
    closed: tuple[Path, ...] = ()

    def check(self, real: str) -> None:
        """Raise ClosedError if a path without links in it may not be read."""
        if any(is_below(real, folder) for folder in self._real_closed):
            raise ClosedError("closed_place", "it belongs to the stack or the system and is never read")
        if self.roots and not any(is_below(real, folder) for folder in self._real_roots):
            roots = ", ".join(map(str, self.roots))
            raise ClosedError("closed_place", f"sources are read below {roots} only (setting ROPEWALK_INGEST_ROOTS)")

    def check_link(self, found: os.stat_result) -> None:
        """Raise ClosedError for a second name of a file of the stack, which only its inode tells."""
        if found.st_nlink > 1 and (found.st_dev, found.st_ino) in self._linked_elsewhere:
            raise ClosedError("closed_place", "it is another name of a file of the stack, which is never read")

    @cached_property
    def _linked_elsewhere(self) -> frozenset[tuple[int, int]]:
        return frozenset(
            (found.st_dev, found.st_ino)
            for folder in self.closed
            for found in _files_near(os.path.realpath(folder), _LINK_DEPTH)
            if found.st_nlink > 1
        )

    @cached_property
    def _real_closed(self) -> tuple[str, ...]:
        return tuple(os.path.realpath(folder) for folder in (*map(str, self.closed), *_NEVER))

    @cached_property
    def _real_roots(self) -> tuple[str, ...]:
        return tuple(os.path.realpath(folder) for folder in self.roots)


ANYWHERE = Reach()


def is_below(real: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it; both without links."""
    return real == folder or real.startswith(folder.rstrip("/") + "/")


def open_inside(location: str, inside: str, reach: Reach) -> IO[bytes]:
    """Open a regular file that lies in `inside`, a path without links. Raises ClosedError or OSError."""
    if (refusal := not_a_file(os.stat(location).st_mode)) is not None:
        raise refusal
    # Without blocking: it may have become a pipe since.
    file = os.fdopen(os.open(location, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb")
    try:
        if (refusal := not_a_file(os.fstat(file.fileno()).st_mode)) is not None:
            raise refusal
        real = os.readlink(f"/proc/self/fd/{file.fileno()}")
        if not is_below(real, inside):
            raise ClosedError("link_outside", "it leads out of its source; name what it leads to as a source")
        reach.check(real)
        reach.check_link(os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def not_a_file(mode: int) -> ClosedError | None:
    """Why something of this mode (`st_mode`) has no content to read; pipes and devices would block for ever."""
    if stat.S_ISREG(mode):
        return None
    names = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    name = next((name for test, name in names if test(mode)), "a device")
    return ClosedError("no_file", f"it is {name}, not a file")


def _files_near(folder: str, depth: int) -> Iterator[os.stat_result]:
    """The files in a folder (or the file itself) and in those `depth` levels below it, as far as they can be seen."""
    try:
        entries = list(os.scandir(folder))
    except NotADirectoryError:
        yield os.stat(folder)
        return
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from _files_near(entry.path, depth - 1)
        elif entry.is_file(follow_symlinks=False):
            yield entry.stat(follow_symlinks=False)
