"""The shared memory of one stack's Triton: its name, and its removal when whoever made it was killed."""

import hashlib
import os
from pathlib import Path

_FOLDER = Path("/dev/shm")


def shared_memory_prefix(state_dir: Path) -> str:
    """Names of this stack's regions begin so: stable over restarts, different for every (absolute) state folder."""
    return f"ropewalk-{hashlib.sha256(os.fsencode(state_dir / 'triton')).hexdigest()[:10]}-"


def sweep_shared_memory(prefix: str) -> int:
    """Delete the regions with this prefix; a killed process never does. Returns how many."""
    stale = list(_FOLDER.glob(f"{prefix}*"))
    for region in stale:
        region.unlink(missing_ok=True)
    return len(stale)
