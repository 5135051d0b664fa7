"""A folder that only we can enter, also below a folder where everybody may make one (`/tmp`)."""

import os
import stat
from pathlib import Path

from ropewalk.errors import RopewalkError


class ForeignFolderError(RopewalkError, OSError):
    """Somebody else made the folder first. The text is a sentence for the user."""


def make_own_folder(path: Path) -> None:
    """Make it, or take the one we made before. Raises ForeignFolderError, OSError.

    A link, or a folder of somebody else, is never entered: they would read and replace what we keep there.
    """
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ForeignFolderError(
                f"{path} was made by somebody else, so nothing is kept there: remove it, or choose another state "
                "folder, or set TMPDIR to a folder of your own"
            ) from None
    path.chmod(0o700)
