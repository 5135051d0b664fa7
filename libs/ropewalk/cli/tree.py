"""Every command there is; runs the one asked for and turns the errors we know into one sentence and an exit code.

Exit codes: 0 well, 1 the answer is bad news (a failed run, a ledger that does not add up), 2 wrong use.
"""

import logging
import os
import sys

from ropewalk.cli.app import app
from ropewalk.cli.commands import (
    alarms,
    backup,
    bus,
    complete,
    contracts,
    dead,
    demo,
    drill,
    init,
    keys,
    ledger,
    lineage,
    models,
    query,
    replay,
    report,
    runs,
    stack,
    submit,
    watch,
)
from ropewalk.cli.panels import arrange
from ropewalk.cli.screens.terminal import LogLines, complain
from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import quoted
from ropewalk.recipes.recipe import RecipeError

COMMANDS = (
    demo,
    stack,
    submit,
    watch,
    runs,
    query,
    lineage,
    replay,
    report,
    ledger,
    complete,
    models,
    alarms,
    contracts,
    bus,
    complete,
    dead,
    backup,
    drill,
    init,
    keys,
)
arrange(app)
USAGE = 2
INTERRUPTED = 130


def run() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, handlers=[LogLines()])
    try:
        app()
    except RecipeError as error:
        for violation in error.violations:
            complain(f"ropewalk: {violation}")
        sys.exit(USAGE)
    except RopewalkError as error:  # before OSError, which some of ours are as well
        complain(f"ropewalk: {error}")
        sys.exit(USAGE)
    except OSError as error:
        complain(f"ropewalk: {_of_the_system(error)}")
        sys.exit(USAGE)
    except KeyboardInterrupt:
        complain("ropewalk: interrupted", style="yellow")
        sys.exit(INTERRUPTED)


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, without its number."""
    if error.strerror is None or not error.filename:
        return error.strerror or str(error)
    return f"{quoted(os.fsdecode(error.filename))} cannot be used: {error.strerror}"
