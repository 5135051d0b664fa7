"""Where every thread of every rank stands, asked for from outside with a signal; for a rank that does not get on.

Python's faulthandler answers in C, so it answers also where the interpreter waits in a library. A process that was
stopped cannot; py-spy, where it is installed, reads the stacks of that one too.
"""

import faulthandler
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from ropewalk.trainer.adapters.stamps import read_stamp

STACKS_SIGNAL = signal.SIGUSR1
_WAIT_S = 2.0
_QUIET_S = 0.1  # a file that no longer grows is whole
_MAX_BYTES = 20_000  # of one rank; enough for some hundred frames
_PY_SPY_S = 4.0
_SILENT = "it did not answer: a stopped process cannot, and py-spy is not installed or may not look\n"


def answer_with_stacks(folder: Path, rank: int) -> None:
    """From now on this process writes its stacks into the folder when it is asked to."""
    file = _stack_file(folder, rank).open("wb")  # faulthandler keeps the descriptor: it must never be closed
    faulthandler.register(STACKS_SIGNAL, file, all_threads=True, chain=False)
    _OPEN.append(file)


def awaited_stacks(folder: Path, rank: int) -> str:
    """What a rank has answered to `STACKS_SIGNAL`, bounded; else what py-spy sees, or a sentence that says why not."""
    path, deadline, size = _stack_file(folder, rank), time.monotonic() + _WAIT_S, -1
    while time.monotonic() < deadline:
        time.sleep(_QUIET_S)
        before, size = size, path.stat().st_size if path.exists() else 0
        if size and before == size:
            with path.open("rb") as file:
                return file.read(_MAX_BYTES).decode(errors="replace")
    stamp = read_stamp(folder, rank)
    return (_spied(stamp.pid) if stamp is not None else "") or _SILENT


def _spied(pid: int) -> str:
    if (program := shutil.which("py-spy")) is not None:
        with suppress(subprocess.SubprocessError, OSError):
            done = subprocess.run(
                [program, "dump", "--pid", str(pid)], capture_output=True, timeout=_PY_SPY_S, check=True
            )
            return done.stdout[:_MAX_BYTES].decode(errors="replace")
    return ""


def _stack_file(folder: Path, rank: int) -> Path:
    return folder / f"stacks-{rank}.txt"


_OPEN: list[object] = []
