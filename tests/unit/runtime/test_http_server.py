"""What a client may do to the server by sending too little, too slowly, or too much: real sockets, short clocks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ropewalk.runtime import http_connection
from ropewalk.runtime.http_server import listen, serve_http

SOON_S = 5.0
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(_: Request) -> PlainTextResponse:
    return PlainTextResponse("here")


async def length_of_body(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def refuse_unread(_: Request) -> PlainTextResponse:
    return PlainTextResponse("no", status_code=401)


@pytest.fixture
async def port(monkeypatch) -> AsyncIterator[int]:
    for clock in ("HEAD_S", "STALL_S", "_LINGER_S"):
        monkeypatch.setattr(http_connection, clock, 0.3)
    app = Starlette(
        routes=[
            Route("/", answer),
            Route("/body", length_of_body, methods=["POST"]),
            Route("/strange", refuse_unread, methods=["POST"]),
        ]
    )
    listener = listen("127.0.0.1", 0, "ROPEWALK_PORT")
    server = asyncio.create_task(serve_http(app, listener, grace_s=1, most_connections=4))
    yield int(listener.getsockname()[1])
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)


async def said(port: int, *parts: bytes, every_s: float = 0.0) -> bytes:
    """All that the server says until it closes, or until nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(every_s)
        return await asyncio.wait_for(reader.read(), SOON_S)
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_connection_that_says_nothing_is_closed(port):
    assert (await said(port)).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("beginning", [b"G", b"GET / HTT", WHOLE[:-2], b"POST /body HTTP/1.1\r\nContent-Length: 5\r\n"])
async def test_a_head_that_does_not_end_is_given_up(port, beginning):
    assert (await said(port, beginning)).startswith(b"HTTP/1.1 408")


async def test_a_head_that_drips_is_given_up_although_something_always_comes(port):
    drops = [b"GET / HTTP/1.1\r\n"] + [b"X-Slow: drop\r\n"] * 40
    assert (await said(port, *drops, every_s=0.05))[:12] in (b"HTTP/1.1 408", b"reset")


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 400_000, b"GET / HTTP/1.1\r\nX-Long: " + b"y" * 400_000])
async def test_a_head_without_end_is_refused_by_its_size(port, head):
    assert (await said(port, head))[:12] in (b"HTTP/1.1 431", b"reset")


@pytest.mark.parametrize("claimed", [10, 999_999_999_999])
async def test_a_body_that_does_not_come_is_given_up(port, claimed):
    head = f"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: {claimed}\r\n\r\nabc".encode()
    assert (await said(port, head)).startswith(b"HTTP/1.1 408")


async def test_a_body_that_drips_is_given_up(port):
    head = b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await said(port, head, *[b"1\r\nx\r\n"] * 40, every_s=0.05))[:12] in (b"HTTP/1.1 408", b"reset")


async def test_a_body_that_keeps_coming_is_read_however_long_it_takes(port):
    piece = b"x" * 20_000
    head = f"POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(piece) * 20}\r\n\r\n".encode()
    assert (await said(port, head, *[piece] * 20, every_s=0.05)).endswith(b"400000")


async def test_who_is_answered_before_the_body_came_hears_it_and_is_closed(port):
    head = b"POST /strange HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\nabc"
    heard = await said(port, head)
    assert heard.startswith(b"HTTP/1.1 401")
    assert heard.endswith(b"no")


async def test_requests_follow_each_other_on_one_connection(port):
    closing = WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert (await said(port, WHOLE, WHOLE, closing, every_s=0.05)).count(b"200 OK") == 3
    assert (await said(port, WHOLE + WHOLE + closing)).count(b"200 OK") == 3


async def test_silent_connections_do_not_keep_others_out(port, monkeypatch):
    monkeypatch.setattr(http_connection, "HEAD_S", 60.0)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
    closing = WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in await said(port, closing)
    assert await asyncio.wait_for(silent[0][0].read(), SOON_S) == b""  # the one that had waited longest
    for _, writer in silent:
        writer.close()
