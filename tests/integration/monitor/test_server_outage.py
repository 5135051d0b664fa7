"""A ClickHouse server that is killed and comes back: what was sent meanwhile is stored, all of it once."""

import asyncio

import httpx
import pytest
from parts.clickhouse_server import WRITER, StandIn

from ropewalk.monitor.adapters.accounts import Account
from ropewalk.monitor.adapters.clickhouse import open_server
from ropewalk.monitor.adapters.embedded import ceilings
from ropewalk.monitor.adapters.readers import admit
from ropewalk.monitor.adapters.sink import Sink
from ropewalk.monitor.app import REQUESTS
from ropewalk.monitor.errors import StoreRefusedError, StoreUnavailableError
from ropewalk.runtime.needs import why_no_answer


@pytest.fixture
def server(tmp_path):
    """A server of its own: it is killed."""
    found = StandIn(tmp_path / "server")
    found.start()
    yield found
    found.kill()


@pytest.mark.slow
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


@pytest.mark.slow
async def test_a_volume_of_a_stack_whose_people_wrote_is_taken_over_and_they_only_read(tmp_path, make):
    before = StandIn(tmp_path / "server", user="ropewalk")
    before.start()
    store = await open_server(before.url)
    await Sink(store, REQUESTS).take(make.packed([make.request(n) for n in range(10)], size=5))
    await store.close()
    assert await asyncio.to_thread(before.stop) == 0
    now = StandIn(tmp_path / "server")
    now.start()
    with pytest.raises(StoreRefusedError, match="Authentication failed"):
        await open_server(now.url.replace(WRITER, "ropewalk"))
    store = await open_server(now.url)
    await admit(store, [Account(user="ropewalk", password="to read")], ceilings(60, 1024))
    await store.close()
    person = ("ropewalk", "to read")
    answer = await asyncio.to_thread(httpx.post, now.address, content="SELECT count() FROM request", auth=person)
    assert answer.text == "10\n"
    refused = await asyncio.to_thread(httpx.post, now.address, content="TRUNCATE TABLE request", auth=person)
    assert refused.status_code != 200
    assert await asyncio.to_thread(now.stop) == 0
