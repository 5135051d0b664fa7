"""Where the Unix sockets of a program are. Whoever may enter the folder may use what listens there.

No port, and no password on a command line: `own_folder` keeps everybody else out.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path

_LONGEST_BYTES = 90  # a socket's path may have 107; the rest is for its name
_PLAIN = re.compile(r"[A-Za-z0-9._/@+=~-]+")  # an address of gRPC is a URI: %, #, ? and colons mean something there


def socket_folder(state_dir: Path, name: str) -> Path:
    """Below an absolute state folder if the path is short and plain, else a short one of this user's in /tmp."""
    folder = state_dir / name / "sockets"
    if len(os.fsencode(folder)) <= _LONGEST_BYTES and _PLAIN.fullmatch(str(folder)):
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"ropewalk-{os.geteuid()}-{digest}"
