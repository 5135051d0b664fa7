"""`python -m ropewalk.serving.triton` becomes the Triton server.

It builds the server folder below the state folder and replaces itself by the binary, so a supervisor sees one
process with one id. It is configured by the same environment variables as the serving service.
"""

import os
import sys

from ropewalk.errors import RopewalkError
from ropewalk.runtime.settings import read_settings
from ropewalk.serving.adapters.triton_server import PRIVATE, prepare
from ropewalk.serving.settings import Settings


def main() -> None:
    """Never returns. Exits with a sentence when the server cannot be built."""
    os.umask(PRIVATE)
    try:
        launch = prepare(read_settings(Settings))
    except RopewalkError as error:
        sys.exit(str(error))
    os.execve(launch.argv[0], launch.argv, launch.environment)


if __name__ == "__main__":
    main()
