"""`python -m ropewalk.runtime.apply`: bring the streams in line once, then exit. The one owner of the topology.

The embedded stack does this itself; elsewhere it is a job that runs before the services.
"""

import asyncio
import logging

from ropewalk.runtime.logs import configure_logs
from ropewalk.runtime.settings import NatsSettings
from ropewalk.runtime.topology import apply_topology

logger = logging.getLogger(__name__)


def main() -> None:
    """Log one line per change."""
    configure_logs()
    for change in asyncio.run(apply_topology(NatsSettings())):
        logger.info("%s", change)


if __name__ == "__main__":
    main()
