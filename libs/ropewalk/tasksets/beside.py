"""Files that a YAML names. It may be somebody else's: it must neither read from elsewhere nor make anybody wait."""

import stat
from pathlib import Path, PurePath

from ropewalk.events.foreign import one_line
from ropewalk.tasksets.errors import TaskSetError


def beside(path: Path, name: str, field: str) -> Path:
    """The regular file that a field of the YAML at `path` names, which lies beside it. Raises TaskSetError."""
    shown = f"{field} {one_line(name)}"
    if name == ".." or PurePath(name).name != name:
        raise TaskSetError(f"{shown} is no plain name: put the file beside the YAML, and write its name alone")
    try:
        mode = (path.parent / name).lstat().st_mode  # a link may lead anywhere, and opening a pipe would wait
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or "it is no name of a file"
        raise TaskSetError(f"{shown} cannot be read: {reason}") from None
    if not stat.S_ISREG(mode):
        raise TaskSetError(f"{shown} is no regular file: put the file itself beside the YAML, no link, pipe or folder")
    return path.parent / name


def bytes_of(path: Path, most: int) -> bytes:
    """A file, or one byte more than `most` of it. Raises TaskSetError."""
    try:
        if not path.is_file():
            raise TaskSetError(f"there is no file {one_line(str(path))}")
        with path.open("rb") as opened:
            return opened.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or "it is no name of a file"
        raise TaskSetError(f"{one_line(str(path))} cannot be read: {reason}") from None
