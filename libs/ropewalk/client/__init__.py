"""The Python SDK: submit a run, follow it, ask about it.

    from ropewalk.client import Client

    async with await Client.connect() as client:
        run_id = await client.submit({"base": "python-stdlib"})
        async for stored in client.follow(run_id):
            print(stored.message)

A program without an event loop runs such a block with `asyncio.run`. `clickhouse()` is what ClickHouse's own client
must be told. Everything goes over the bus and public HTTP; the SDK knows no service.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropewalk.client.client import Client
    from ropewalk.client.errors import ClientError
    from ropewalk.client.settings import ClientSettings, find_settings
    from ropewalk.client.sql import clickhouse
else:
    _MODULES = {
        "Client": "client",
        "ClientError": "errors",
        "clickhouse": "sql",
        "ClientSettings": "settings",
        "find_settings": "settings",
    }

    def __getattr__(name: str) -> Any:
        """Import a name when it is asked for: a command that only reads the log need not wait for NATS's client."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = ["Client", "ClientError", "ClientSettings", "clickhouse", "find_settings"]
