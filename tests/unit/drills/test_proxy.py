"""The cutting proxy on real sockets of loopback."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from ropewalk.drills.proxy import CutProxy

DEADLINE_S = 10.0


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that sends back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1024):
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def proxy(echo: int) -> AsyncIterator[CutProxy]:
    async with CutProxy("127.0.0.1", echo) as made:
        yield made


class Caller:
    """A client of the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, text: bytes) -> None:
        self.writer.write(text)

    async def hear(self, num_bytes: int, deadline_s: float = DEADLINE_S) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(num_bytes), deadline_s)


@pytest.fixture
async def call(proxy: CutProxy) -> AsyncIterator:
    callers: list[Caller] = []

    async def connect() -> Caller:
        callers.append(Caller(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return callers[-1]

    yield connect
    for caller in callers:
        caller.writer.close()


async def until(condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_bytes_pass_in_both_directions(call) -> None:
    caller = await call()
    caller.say(b"hello")
    assert await caller.hear(5) == b"hello"


async def test_dropped_bytes_vanish_while_the_connection_stays_open(proxy, call) -> None:
    caller = await call()
    caller.say(b"before")
    await caller.hear(6)

    proxy.cut("drop")
    caller.say(b"lost")
    await until(lambda: proxy.lost_bytes == 4)

    assert not caller.reader.at_eof()


async def test_a_new_connection_during_a_drop_is_accepted_and_hears_nothing(proxy, call) -> None:
    proxy.cut("drop")
    caller = await call()
    caller.say(b"anybody?")
    await until(lambda: proxy.lost_bytes == 8)
    with pytest.raises(TimeoutError):
        await caller.hear(1, deadline_s=0.05)


async def test_healing_resets_who_lost_bytes_and_keeps_who_lost_none(proxy, call) -> None:
    talking, silent = await call(), await call()
    for caller in (talking, silent):
        caller.say(b"x")
        await caller.hear(1)
    proxy.cut("drop")
    talking.say(b"lost")
    await until(lambda: proxy.lost_bytes == 4)

    proxy.heal()

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await talking.hear(1)
    silent.say(b"still here")
    assert await silent.hear(10) == b"still here"


async def test_reset_aborts_what_is_open_and_what_comes(proxy, call) -> None:
    caller = await call()
    caller.say(b"x")
    await caller.hear(1)

    proxy.cut("reset")

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await caller.hear(1)
    late = await call()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await late.hear(1)


async def test_delayed_bytes_arrive_later_and_in_order(proxy, call) -> None:
    proxy.cut("delay", delay_s=0.1)
    caller = await call()
    began = time.monotonic()
    caller.say(b"first")
    caller.say(b"second")
    assert await caller.hear(11) == b"firstsecond"
    assert time.monotonic() - began >= 0.2  # there and back


async def test_a_server_that_is_away_resets_the_client(unused_tcp_port) -> None:
    async with CutProxy("127.0.0.1", unused_tcp_port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), DEADLINE_S)
        writer.close()
