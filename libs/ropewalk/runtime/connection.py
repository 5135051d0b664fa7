"""How every connection to the bus is set up.

Reconnecting for ever matters: after nats-py gives up, pull loops spin and block the event loop.
"""

import logging
from typing import Any

from ropewalk.runtime.settings import NatsSettings

logger = logging.getLogger(__name__)


def connect_options(settings: NatsSettings, name: str) -> dict[str, Any]:
    """Arguments of `nats.connect`."""
    options: dict[str, Any] = {
        "servers": [settings.url],
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.5,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "pending_size": 8 * 1024**2,
        "drain_timeout": 1,  # a fetched message never counts as drained, so a longer wait only delays the exit
        "connect_timeout": 5,
        "allow_reconnect": True,
        "error_cb": _log_error,
    }
    if settings.token:
        options["token"] = settings.token
    return options


async def _log_error(error: Exception) -> None:
    logger.warning("bus: %s", error or type(error).__name__)
