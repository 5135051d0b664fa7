"""The monitor's process on a real bus, while its ClickHouse server is away for longer than a delivery is good for."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from parts.clickhouse_server import StandIn

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bulk import address_of
from ropewalk.events.serving import RequestLogBatch
from ropewalk.monitor.adapters.clickhouse import open_server
from ropewalk.monitor.contract import CONTRACT, REQUESTS
from ropewalk.status.asking import looked_at

ACK_WAIT_S = float(os.environ.get("ROPEWALK_TEST_ACK_WAIT_S", "4"))  # 60: as it is in service; the test takes a minute
NUM_REQUESTS = 600


@pytest.fixture
def server(tmp_path):
    """A server of its own: it is killed."""
    found = StandIn(tmp_path / "server")
    found.start()
    yield found
    found.kill()


@pytest.fixture
def monitor(nats_server, server, tmp_path):
    """The monitor's process, which writes to the server."""
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
        "ROPEWALK_STATE_DIR": str(tmp_path / "state"),
        "ROPEWALK_MONITOR_CLICKHOUSE_URL": server.url,
    }
    asyncio.run(
        apply_topology(nats_server.settings, [replace(each, ack_wait_s=ACK_WAIT_S) for each in CONTRACT.tables])
    )
    process = subprocess.Popen([sys.executable, "-m", "ropewalk.monitor"], env=environment)
    yield process
    process.kill()
    process.wait(20)


async def until(condition, within_s):
    """Asks ten times a second until it is true."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_a_server_that_is_away_until_messages_come_again_has_every_row_once_and_status_names_it(
    monitor, nats_server, server, bus, make
):
    requests = [make.request(n) for n in range(NUM_REQUESTS)]
    packed = [RequestLogBatch(run_id="run-1", rows=tuple(requests[n : n + 10])) for n in range(0, NUM_REQUESTS, 10)]

    async def send(some):
        for batch in some:
            await bus.publish(batch, cause_id="test", key=batch.rows[0].request_id)

    async def stored(number):
        [row] = await store.query("SELECT count() AS n, uniqExact(request_id) AS ids FROM ropewalk.request")
        assert row["n"] == row["ids"], "none twice"
        return row["n"] == number

    async def consumer():
        return await bus.connection.jetstream().consumer_info(REQUESTS.stream, REQUESTS.durable)

    async def come_again():
        assert monitor.poll() is None
        return (await consumer()).num_redelivered > 0 and time.monotonic() - killed > 1.1 * ACK_WAIT_S

    async def named():
        status = await asyncio.to_thread(looked_at, address_of(nats_server.settings), ("monitor",))
        return any("ClickHouse server at http://127.0.0.1" in problem.what for problem in status.problems)

    async def settled():
        return (await consumer()).num_ack_pending == 0

    store = await open_server(server.url)
    await send(packed[:20])
    await until(lambda: stored(200), 30)
    server.kill()
    killed = time.monotonic()
    await send(packed[20:25])
    await until(named, 30)
    noticed_s = time.monotonic() - killed
    await until(come_again, 3 * ACK_WAIT_S + 10)
    await send(packed[25:50])
    away_s = time.monotonic() - killed
    await asyncio.to_thread(server.start)
    await send(packed[50:])
    await until(lambda: stored(NUM_REQUESTS), 60)
    await until(settled, 3 * ACK_WAIT_S + 10)
    assert await stored(NUM_REQUESTS)
    assert not await named()
    await store.close()
    print(f"named after {noticed_s:.1f} s, away for {away_s:.1f} s, back and all stored")
