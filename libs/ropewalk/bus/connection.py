"""How every connection to the bus is set up.

Reconnecting for ever matters: after nats-py gives up, pull loops spin and block the event loop.
"""

import logging
import ssl
from typing import Any

from ropewalk.bus.client import GuardedClient
from ropewalk.bus.errors import BusError
from ropewalk.bus.servers import are_encrypted, servers_of
from ropewalk.bus.settings import NatsSettings


async def connect(settings: NatsSettings, name: str, **changes: Any) -> GuardedClient:
    """Connect, waiting for a server that is away. Raises BusError if it does not know us, OSError for a missing key.

    `changes` replace single arguments of nats-py's `connect`.
    """
    client = GuardedClient(settings.user or name)
    await client.connect(**{**connect_options(settings, name), **changes})
    return client


def connect_options(settings: NatsSettings, name: str) -> dict[str, Any]:
    """Arguments of `nats.connect`. Raises BusError for a certificate or key file that cannot be used."""
    return {
        "servers": servers_of(settings.url),
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.5,
        "ping_interval": 5,  # a network that swallows everything is noticed after the third unanswered ping
        "max_outstanding_pings": 2,
        "pending_size": 8 * 1024**2,
        "drain_timeout": 1,  # a fetched message never counts as drained, so a longer wait only delays the exit
        "connect_timeout": 5,
        "allow_reconnect": True,
        **_identity(settings),
        **_encryption(settings),
    }


def inbox_prefix(settings: NatsSettings) -> str:
    """What the subjects begin with on which this user is answered."""
    return f"_INBOX_{settings.user}" if settings.user else "_INBOX"


def _identity(settings: NatsSettings) -> dict[str, Any]:
    """Who we are. Answers come to an inbox that only this user may read."""
    options: dict[str, Any] = {"inbox_prefix": inbox_prefix(settings)}
    if settings.nkey_file is not None:
        if not settings.nkey_file.is_file():
            raise BusError(f"there is no key file {settings.nkey_file}: set ROPEWALK_NATS_NKEY_FILE to the user's seed")
        return {**options, "nkeys_seed": str(settings.nkey_file)}
    if settings.password:
        return {**options, "user": settings.user, "password": settings.password}
    return options


def _encryption(settings: NatsSettings) -> dict[str, Any]:
    """TLS before anything is said: nats-py would speak plainly if a server, or somebody in between, asked it to."""
    if not are_encrypted(settings.url):
        if "tls://" in settings.address:
            raise BusError(f"some of {settings.address} are not encrypted: begin all with tls://, or none")
        if settings.tls_ca is not None:
            raise BusError(
                f"ROPEWALK_NATS_TLS_CA is set, but {settings.address} is not encrypted: begin it with tls://"
            )
        return {}
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
    except OSError as error:  # ssl.SSLError is one
        raise BusError(f"ROPEWALK_NATS_TLS_CA={settings.tls_ca} cannot be used: {error}") from None
    logging.getLogger("asyncio").addFilter(_is_news)
    return {"tls": context, "tls_handshake_first": True}


def _is_news(record: logging.LogRecord) -> bool:
    """Not what asyncio says of each connection that nats-py closes, since its protocol was made for plain ones."""
    return "eof_received" not in record.getMessage()
