"""How every service begins: `python -m ropewalk.SERVICE`. Why it cannot run here is said in one sentence."""

import logging
import sys
from collections.abc import Callable

from ropewalk.errors import RopewalkError
from ropewalk.runtime.logs import configure_logs
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import S, read_settings

logger = logging.getLogger(__name__)


def start(build: Callable[[S], Service], kind: type[S]) -> None:
    """Run a service until it is told to stop. Exits with status 2 and a sentence where it cannot run here."""
    configure_logs()
    try:
        build(read_settings(kind)).run()
    except RopewalkError as error:
        logger.error("%s", error)
        sys.exit(2)
