"""A ClickHouse server that is killed and comes back: what was sent meanwhile is stored, all of it once."""

import asyncio

import pytest
from parts.clickhouse_server import StandIn

from ropewalk.monitor.adapters.clickhouse import open_server
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import REQUESTS
from ropewalk.monitor.errors import StoreUnavailableError
from ropewalk.runtime.needs import why_no_answer


@pytest.fixture
def server(tmp_path):
    """A server of its own: it is killed."""
    found = StandIn(tmp_path / "server")
    found.start()
    yield found
    found.kill()


async def test_a_server_that_is_killed_under_inserts_and_comes_back_has_every_row_once(server, make):
    store = await open_server(server.url)
    items = make.packed([make.request(n) for n in range(300)], size=5)
    sink = Sink(store, REQUESTS)

    async def feed():
        for start in range(0, len(items), 2):
            await sink.take(items[start : start + 2])

    feeding = asyncio.create_task(feed())
    await asyncio.sleep(0.2)  # not to wait for anything: to kill it amid the inserts
    server.kill()
    with pytest.raises(StoreUnavailableError):
        await store.query("SELECT 1")
    assert "the ClickHouse server at http://127.0.0.1:" in why_no_answer("the ClickHouse server", server.url, "/ping")
    assert not feeding.done()
    await asyncio.to_thread(server.start)
    await asyncio.wait_for(feeding, 60)
    [row] = await store.query("SELECT count() AS n, uniqExact(request_id) AS ids FROM ropewalk.request")
    assert (row["n"], row["ids"]) == (300, 300)
    await Sink(store, REQUESTS).take(items)  # as after a crash of the monitor
    [row] = await store.query("SELECT count() AS n FROM ropewalk.request")
    assert row["n"] == 300
    await store.close()
    assert await asyncio.to_thread(server.stop) == 0
