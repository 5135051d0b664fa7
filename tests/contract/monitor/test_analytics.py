"""One suite for the port, over the engine in this process and over a server spoken to by HTTP (our own interface)."""

import asyncio
import math

import pytest

from ropewalk.monitor.adapters.clickhouse import open_embedded, open_server
from ropewalk.monitor.adapters.migrating import migrate
from ropewalk.monitor.errors import StoreRefusedError, StoreUnavailableError


@pytest.fixture(params=["embedded", "server"])
async def store(request, interface):
    """Both look at the same engine: a process has one."""
    if request.param == "embedded":
        opened = await open_embedded(interface.folder, interface.memory_mb)
    else:
        user, password = interface.writer
        opened = await open_server(f"http://{user}:{password}@127.0.0.1:{interface.port}")
    await opened.command("TRUNCATE TABLE ropewalk.train_step")
    yield opened
    await opened.close()


def a_step(step, **fields):
    usual = {
        "time": "2026-03-01 12:00:00.250",
        "run_id": "run-1",
        "attempt": 1,
        "step": step,
        "loss": 2.5,
        "message_id": "m",
        "sequence": step,
        "row": 0,
        "arrival": 1,
    }
    return usual | fields


async def steps(store):
    rows = await store.query("SELECT step FROM ropewalk.train_step ORDER BY step")
    return [row["step"] for row in rows]


async def test_rows_come_back_as_they_went_in(store):
    await store.insert("train_step", [a_step(1, loss="nan", lr=0.001, run_id="l'été\n\t\\")])
    [row] = await store.query("SELECT * FROM ropewalk.train_step")
    assert math.isnan(row["loss"])
    assert (row["lr"], row["run_id"]) == (0.001, "l'été\n\t\\")
    assert row["time"].isoformat(timespec="milliseconds").startswith("2026-03-01T12:00:00.250")


async def test_a_block_with_a_token_is_stored_once(store):
    token = f"once-{id(store)}"
    for _ in range(3):
        await store.insert("train_step", [a_step(1), a_step(2)], token=token)
    assert await steps(store) == [1, 2]


async def test_parameters_are_bound_and_not_pasted(store):
    await store.insert("train_step", [a_step(1), a_step(2, run_id="' OR 1 --")])
    rows = await store.query("SELECT step FROM ropewalk.train_step WHERE run_id = {run:String}", {"run": "' OR 1 --"})
    assert rows == [{"step": 2}]


async def test_a_row_that_cannot_be_read_is_refused_and_the_whole_block_with_it(store):
    with pytest.raises(StoreRefusedError):
        await store.insert("train_step", [a_step(1), a_step(2, time="yesterday")])
    assert await steps(store) == []


async def test_a_statement_that_is_wrong_is_refused(store):
    with pytest.raises(StoreRefusedError, match="nowhere"):
        await store.query("SELECT * FROM ropewalk.nowhere")


async def test_the_schema_may_be_applied_again(store):
    await store.insert("train_step", [a_step(5)])
    await migrate(store)
    assert await steps(store) == [5]


async def test_a_server_that_is_not_there_is_unavailable(unused_port):
    with pytest.raises(StoreUnavailableError):
        await open_server(f"http://ropewalk:x@127.0.0.1:{unused_port + 1 if unused_port < 65_000 else 1}")


async def test_an_address_with_https_is_spoken_to_by_tls_whatever_its_port():
    heard = asyncio.Queue()

    async def listen(reader, writer):
        await heard.put(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StoreUnavailableError):
            await open_server(f"https://ropewalk:secret@127.0.0.1:{port}")
    assert heard.get_nowait() == b"\x16", "the beginning of a handshake"
