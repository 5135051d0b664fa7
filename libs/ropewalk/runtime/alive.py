"""`python -m ropewalk.runtime.alive SERVICE`: exit 0 if the service answers on the bus. A container's health check.

A service answers `ctl.ping.<service>` once all its consumers are bound, and no longer when its event loop hangs.
"""

import asyncio
import sys

import nats.errors
from nats.aio.client import Client

from ropewalk.runtime.settings import NatsSettings

TIMEOUT_S = 3.0


async def is_alive(service: str, settings: NatsSettings) -> bool:
    """Whether any instance of the service answers in time."""
    client = Client()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await client.connect(settings.url, token=settings.token or None, allow_reconnect=False, error_cb=_ignore)
            await client.request(f"ctl.ping.{service}", b"", timeout=TIMEOUT_S)
    except (nats.errors.Error, OSError, TimeoutError):
        return False
    finally:
        await client.close()
    return True


async def _ignore(_: Exception) -> None:
    """The exit code says it."""


def main() -> None:
    """Exit 0 or 1."""
    sys.exit(0 if asyncio.run(is_alive(sys.argv[1], NatsSettings())) else 1)


if __name__ == "__main__":
    main()
