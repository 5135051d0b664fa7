"""Entry point of `ropewalk`: runs a command and turns the errors we know into sentences and an exit code.

Exit codes: 0 well, 1 the answer is bad news (a failed run, a ledger that does not add up), 2 wrong use.
"""

import io
import logging
import os
import sys

from ropewalk.cli.exit_codes import INTERRUPTED, USAGE
from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import quoted


class LogLines(logging.Handler):
    """What the libraries below log while a command runs, as lines on standard error like any other."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, unless it says what was said before: a command may read the same again and again."""
        if (text := record.getMessage()) not in self._said:
            self._said.add(text)
            _complain(text, style="yellow")


def main() -> None:
    """Run `ropewalk`."""
    # The bus warns when it reconnects. Rich's own handler would wrap lines and obey markup in them.
    logging.basicConfig(level=logging.WARNING, handlers=[LogLines()])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of ASCII gets `?` for a tick, no traceback
    try:
        # Imports take long enough to be interrupted: those of all commands happen in here.
        from ropewalk.cli.tree import app

        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except RopewalkError as error:  # before OSError, which some of ours are as well
        for sentence in error.sentences:
            _complain(f"ropewalk: {sentence}")
        sys.exit(USAGE)
    # A full disk, a folder without permission: the user's surroundings, so no traceback.
    except OSError as error:
        _complain(f"ropewalk: {_of_the_system(error)}")
        sys.exit(USAGE)


def _complain(text: str, style: str = "red") -> None:
    from ropewalk.cli.screens.terminal import complain  # imports rich, which a command that goes well may not need

    complain(text, style=style)


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, without its number."""
    if error.strerror is None or not error.filename:
        return error.strerror or str(error)
    return f"{quoted(os.fsdecode(error.filename))} cannot be used: {error.strerror}"


if __name__ == "__main__":
    main()
