"""A folder for Unix sockets that only its owner may enter, with a path that is short enough for the kernel.

Whoever may enter the folder may use what listens there: no port, no password on a command line.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

_LONGEST_BYTES = 90  # a socket's path may have 107; the rest is for its name


class NotPrivateError(RuntimeError):
    """The folder belongs to somebody else, so what listens in it might be his."""


def socket_folder(state_dir: Path, name: str) -> Path:
    """Where the sockets of `name` are: below an absolute state folder, or in /tmp when that path is too long."""
    folder = state_dir / name / "sockets"
    if len(os.fsencode(folder)) <= _LONGEST_BYTES:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"ropewalk-{os.getuid()}-{digest}"


def claim(folder: Path) -> Path:
    """Make the folder if need be and close it to everybody else. Raises NotPrivateError, OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # not stat: a link may lead into a folder of ours and be turned elsewhere later
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NotPrivateError(f"{folder} is not a folder of this user: remove it, or choose another state folder")
    folder.chmod(0o700)
    return folder
