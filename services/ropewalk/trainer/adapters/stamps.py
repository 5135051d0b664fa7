"""What a rank does now, written into a small memory-mapped file, and read from there by a process that is not stuck.

A stamp is a few stores into memory, so it costs under two microseconds and needs no thread: a rank that hangs in a
collective, in a C library or under a signal cannot say so, but its last stamp stays. The file also keeps the last
durations of each phase, from which the reader learns what is usual in this run. All times are monotonic.
"""

import mmap
import os
import threading
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ropewalk.trainer.domain.sight import PHASES, Phase

_WRITES, _PID, _THREAD, _STEP, _PHASE, _SINCE = range(6)  # places in an array of doubles
_FIRST, _KEPT = 8, 64  # then for each phase: how many durations there were, and the last 64 of them
_NUM_DOUBLES = _FIRST + len(PHASES) * (1 + _KEPT)
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """`since` is when the rank entered the phase; `usual_s` how long it stays there, 99 times of 100, 0: not known."""

    pid: int
    thread: int
    step: int
    phase: Phase
    since: float
    usual_s: float


def stamp_file(folder: Path, rank: int) -> Path:
    """Of one rank of a group."""
    return folder / f"stamp-{rank}"


class Stamper:
    """The rank's side; call it from the thread that trains."""

    def __init__(self, folder: Path, rank: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = stamp_file(folder, rank)
        path.write_bytes(bytes(8 * _NUM_DOUBLES))
        with path.open("r+b") as file:
            self._cells = memoryview(mmap.mmap(file.fileno(), 8 * _NUM_DOUBLES)).cast("d")
        self._cells[_PID], self._cells[_THREAD] = os.getpid(), threading.get_native_id()

    def __call__(self, phase: Phase, step: int, moment: float) -> None:
        """From `moment` on the rank does `phase` of `step`."""
        cells = self._cells
        cells[_WRITES] += 1  # odd: being written
        if cells[_SINCE]:
            place = _FIRST + int(cells[_PHASE]) * (1 + _KEPT)
            count = int(cells[place])
            cells[place + 1 + count % _KEPT] = moment - cells[_SINCE]
            cells[place] = count + 1
        cells[_STEP], cells[_PHASE], cells[_SINCE] = step, _NUMBER[phase], moment
        cells[_WRITES] += 1


def read_stamp(folder: Path, rank: int) -> Stamp | None:
    """The last word of a rank; None if it has not said one."""
    for _ in range(_TRIES):
        cells = array("d")
        with suppress(OSError, ValueError):
            cells.frombytes(stamp_file(folder, rank).read_bytes())
        if len(cells) != _NUM_DOUBLES or not cells[_SINCE]:
            return None
        if cells[_WRITES] % 2 == 0:
            return _stamp(cells)
    return None


def _stamp(cells: "array[float]") -> Stamp:
    phase = int(cells[_PHASE])
    place = _FIRST + phase * (1 + _KEPT)
    kept = sorted(cells[place + 1 : place + 1 + min(int(cells[place]), _KEPT)])
    return Stamp(
        pid=int(cells[_PID]),
        thread=int(cells[_THREAD]),
        step=int(cells[_STEP]),
        phase=PHASES[phase],
        since=cells[_SINCE],
        usual_s=kept[int(0.99 * (len(kept) - 1))] if kept else 0.0,
    )


_NUMBER = {phase: number for number, phase in enumerate(PHASES)}
