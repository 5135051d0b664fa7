"""Looks at the ranks on this machine from outside: their stamps, and what /proc says of the thread that trains."""

import time
from contextlib import suppress
from pathlib import Path

from ropewalk.trainer.adapters.stamps import Stamp, read_stamp
from ropewalk.trainer.domain.sight import STOPPED, Sight

_NANO = 1e-9


def look_at(folder: Path, rank: int) -> Sight | None:
    """A sight of a rank whose stamps are there; None if it has not begun. About 0.1 ms."""
    stamp = read_stamp(folder, rank)
    if stamp is None:
        return None
    state, ran_s, queued_s = _thread(stamp)
    return Sight(
        rank=rank,
        step=stamp.step,
        phase=stamp.phase,
        silent_s=max(0.0, time.monotonic() - stamp.since),
        usual_s=stamp.usual_s,
        state=state,
        ran_s=ran_s,
        queued_s=queued_s,
    )


def is_stopped(pid: int) -> bool:
    """Whether a signal, a debugger or a freezer holds the process."""
    with suppress(OSError, IndexError):
        return _state(Path(f"/proc/{pid}")) in STOPPED
    return False


def _state(folder: Path) -> str:
    return (folder / "stat").read_text().rpartition(") ")[2][0]  # a name may hold spaces and brackets


def _thread(stamp: Stamp) -> tuple[str, float, float]:
    """State, seconds on a core and seconds in the queue for one; nothing of a process that is gone."""
    folder = Path(f"/proc/{stamp.pid}/task/{stamp.thread}")
    with suppress(OSError, ValueError, IndexError):
        state = _state(folder)
        ran, queued = (folder / "schedstat").read_text().split()[:2]
        return state, int(ran) * _NANO, int(queued) * _NANO
    return "", 0.0, 0.0
