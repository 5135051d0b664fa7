"""Where every thread of every rank stands, asked for from outside with a signal; for a rank that does not get on.

Python's faulthandler answers in C, so it answers also where the interpreter waits in a library. A process that was
stopped cannot; py-spy, where it is installed, reads the stacks of that one too.
"""

import faulthandler
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_SIGNAL = signal.SIGUSR1
_WAIT_S = 2.0  # for the answers of all ranks together
_QUIET_S = 0.1  # a file that no longer grows is whole
_MAX_BYTES = 20_000  # of one rank; enough for some hundred frames
_PY_SPY_S = 4.0


def answer_with_stacks(folder: Path, rank: int) -> None:
    """From now on this process writes its stacks into the folder when it is asked to."""
    file = _stack_file(folder, rank).open("wb")  # faulthandler keeps the descriptor: it must never be closed
    faulthandler.register(_SIGNAL, file, all_threads=True, chain=False)
    _OPEN.append(file)


def ask_for_stacks(folder: Path, pids: Mapping[int, int]) -> dict[int, str]:
    """The stacks of each of these ranks (rank: process id), bounded; a sentence for one that did not answer."""
    for pid in pids.values():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, _SIGNAL)
    sizes: tuple[int, ...] = ()
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        time.sleep(_QUIET_S)
        before, sizes = sizes, tuple(_size(_stack_file(folder, rank)) for rank in pids)
        if before == sizes and all(sizes):
            break
    return {rank: _written(folder, rank) or _spied(pid) for rank, pid in pids.items()}


def _written(folder: Path, rank: int) -> str:
    with suppress(OSError), _stack_file(folder, rank).open("rb") as file:
        return file.read(_MAX_BYTES).decode(errors="replace")
    return ""


def _spied(pid: int) -> str:
    if (program := shutil.which("py-spy")) is not None:
        with suppress(subprocess.SubprocessError, OSError):
            done = subprocess.run(
                [program, "dump", "--pid", str(pid)], capture_output=True, timeout=_PY_SPY_S, check=True
            )
            return done.stdout[:_MAX_BYTES].decode(errors="replace")
    return "it did not answer: a stopped process cannot, and py-spy is not installed or may not look\n"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _stack_file(folder: Path, rank: int) -> Path:
    return folder / f"stacks-{rank}.txt"


_OPEN: list[object] = []
