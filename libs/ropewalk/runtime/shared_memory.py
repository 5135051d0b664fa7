"""The shared memory of one stack's Triton: its name, and its removal when whoever made it was killed."""

import hashlib
import os
import stat
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


def shared_memory_prefix(state_dir: Path) -> str:
    """Names of this stack's regions begin so: stable over restarts, different for every (absolute) state folder."""
    return f"ropewalk-{hashlib.sha256(os.fsencode(state_dir / 'triton')).hexdigest()[:10]}-"


def sweep_shared_memory(prefix: str, folder: Path = SHARED_MEMORY) -> int:
    """Delete our regions with this prefix; a killed process never does. Returns how many.

    Everybody may make files and folders there, under any name: those of others are not ours to remove.
    """
    stale = [region for region in folder.glob(f"{prefix}*") if _is_ours(region)]
    for region in stale:
        region.unlink(missing_ok=True)
    return len(stale)


def _is_ours(region: Path) -> bool:
    try:
        found = region.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
