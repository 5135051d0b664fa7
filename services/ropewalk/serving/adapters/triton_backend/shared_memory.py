"""The shared memory through which Triton and a stub pass requests: closed to others, removed when its stub has died.

Triton makes it readable for every user of the machine, whatever the umask, and leaves it when a stub is killed with
requests open. The name of a stub's region is one of its own arguments.
"""

import time
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_PROCESSES = Path("/proc")
_UUID_CHARS = 36
_STARTING_S = 20.0  # a region may be older than its stub, but not by more than this


def tidy() -> None:
    """Close the region of this process; remove those of the same server whose stubs are gone."""
    own = next((word for word in _words(_PROCESSES / "self") if _is_region(word)), None)
    if own is None:
        return
    (SHARED_MEMORY / own).chmod(0o600)
    in_use = {word for process in _PROCESSES.glob("[0-9]*") for word in _words(process)}
    for region in SHARED_MEMORY.glob(f"{own[:-_UUID_CHARS]}*"):
        if region.name not in in_use and _age_s(region) > _STARTING_S:
            with suppress(OSError):  # everybody may make files and folders there, under any name
                region.unlink()


def _is_region(word: str) -> bool:
    return len(word) > _UUID_CHARS and "/" not in word and (SHARED_MEMORY / word).is_file()


def _words(process: Path) -> list[str]:
    """The command line of a process; empty when it has ended."""
    try:
        return (process / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _age_s(region: Path) -> float:
    try:
        return time.time() - region.stat().st_ctime
    except OSError:
        return 0.0
