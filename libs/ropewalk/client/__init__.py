"""The Python SDK: submit a run, follow it, ask about it.

    from ropewalk.client import Client

    async with await Client.connect() as client:
        run_id = await client.submit({"base": "python-stdlib"})
        async for stored in client.follow(run_id):
            print(stored.message)

A program without an event loop runs such a block with `asyncio.run`. `clickhouse()` is what ClickHouse's own client
must be told. Everything goes over the bus and public HTTP; the SDK knows no service.
"""

from ropewalk.client.client import Client
from ropewalk.client.errors import ClientError
from ropewalk.client.settings import ClientSettings, find_settings
from ropewalk.client.sql import clickhouse

__all__ = ["Client", "ClientError", "ClientSettings", "clickhouse", "find_settings"]
