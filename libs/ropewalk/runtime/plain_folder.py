"""A folder whose path any program can take: short enough for Unix sockets, without letters that mean something.

Triton starts its stubs through a shell without quoting the path, and an address of gRPC is a URI.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path

_LONGEST_BYTES = 80  # a socket's path may have 107; the rest is for its name
_PLAIN = re.compile(r"[A-Za-z0-9._/@+=~-]+")


def plain_folder(state_dir: Path, name: str) -> Path:
    """`name` below an absolute state folder if that is plain, else a folder of this user's in /tmp."""
    folder = state_dir / name
    if len(os.fsencode(folder)) <= _LONGEST_BYTES and _PLAIN.fullmatch(str(folder)):
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"ropewalk-{name}-{os.geteuid()}-{digest}"
