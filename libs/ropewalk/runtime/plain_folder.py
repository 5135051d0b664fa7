"""A folder whose path any program can take: short enough for Unix sockets, without letters that mean something.

Triton starts its stubs through a shell without quoting the path, an address of gRPC is a URI, and Ray pastes the path
into command lines. Where the state folder's own path is not so, the folder lies where everybody may make folders, so
its name is drawn: nobody can make it first. The state folder remembers it.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

_LONGEST_BYTES = 80  # a socket's path may have 107; the rest is for its name
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+", re.ASCII)


def plain_folder(state_dir: Path, name: str, longest_bytes: int = _LONGEST_BYTES) -> Path:
    """`name` below an absolute state folder if that is plain, else a folder of ours in /tmp, made here if need be.

    It is the same one for every process until it is removed, or somebody took it from us. Raises OSError.
    """
    folder = state_dir / name
    if len(os.fsencode(folder)) <= longest_bytes and _PLAIN.fullmatch(str(folder)):
        return folder
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(_place(state_dir, name), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as place:
        fcntl.flock(place, fcntl.LOCK_EX)  # two that ask at once are told the same
        known = place.read()
        if known and is_ours(Path(os.fsdecode(known))):
            return Path(os.fsdecode(known))
        made = tempfile.mkdtemp(prefix="rw-")
        place.seek(0)
        place.truncate()
        place.write(os.fsencode(made))
    return Path(made)


def remove_plain_folder(state_dir: Path, name: str) -> None:
    """Remove it with what it holds, wherever it is; nothing of somebody else's, and nothing is made. Raises OSError."""
    shutil.rmtree(state_dir / name, ignore_errors=True)
    place = _place(state_dir, name)
    if place.is_file():
        known = Path(os.fsdecode(place.read_bytes()))
        if is_ours(known):
            shutil.rmtree(known, ignore_errors=True)
        place.unlink(missing_ok=True)


def is_ours(folder: Path) -> bool:
    """Whether it is a folder, no link, that belongs to us and that nobody else may enter."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _place(state_dir: Path, name: str) -> Path:
    return state_dir / f"{name}.place"
