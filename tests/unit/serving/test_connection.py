"""Connections on a real socket: what is sent by halves, never or without end has a limit, and hurts nobody else."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ropewalk.runtime import http_connection as bounds
from ropewalk.serving.adapters.gateway.server import serve

ASK = json.dumps({"model": "demo", "prompt": "abc", "max_tokens": 3}).encode()
HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer rw-demo\r\n"
HEALTH = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"


def a_request(body: bytes = ASK) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
async def port(bench: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The gateway of the bench on a port, with little patience."""
    for name in ("HEAD_S", "STALL_S", "READ_S"):
        monkeypatch.setattr(bounds, name, 0.5)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    serving = asyncio.create_task(serve(bench.app, "127.0.0.1", port))
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.01)
    writer.close()
    yield port
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def answers(port: int, *parts: bytes) -> bytes:
    """Everything that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        for part in parts:
            writer.write(part)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def status(port: int, *parts: bytes) -> int:
    """The status of the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        for part in parts:
            writer.write(part)
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def until_rows(bench: Any, number: int) -> list[int]:
    async with asyncio.timeout(10):
        while len(bench.rows) < number:
            await asyncio.sleep(0.01)
    return [row.status for row in bench.rows]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"POST", b"HTTP/1.1 408"),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-slow: ", b"the head of the request was not complete"),
        (HEALTH + b"GET /livez HT", b"the head of the request was not complete"),
        (HEAD + b"content-length: 100\r\n\r\n{", b"the body of the request stopped coming"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n{", b"the body of the request stopped coming"),
    ],
)
async def test_what_is_sent_by_halves_is_waited_for_only_so_long(port: int, sent: bytes, words: bytes) -> None:
    assert words in await answers(port, sent)


async def test_a_body_that_comes_in_drops_has_a_limit_as_a_whole(bench: Any, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"content-length: 1000\r\n\r\n")
    async with asyncio.timeout(10):
        while not reader.at_eof():
            writer.write(b" ")
            try:
                await asyncio.wait_for(reader.read(1000), 0.05)
            except TimeoutError:
                continue
            except ConnectionError:
                break
    writer.close()
    assert await until_rows(bench, 1) == [499]


async def test_a_body_without_end_is_refused_at_once_although_nothing_of_it_came(bench: Any, port: int) -> None:
    assert await status(port, HEAD + b"content-length: 999999999999\r\n\r\n") == 413
    assert await until_rows(bench, 1) == [413]


async def test_what_follows_a_refused_body_is_not_taken_for_an_answer(port: int) -> None:
    said = await answers(port, HEAD + b"content-length: 999999999999\r\n\r\n" + b"x" * 1000)
    assert said.count(b"HTTP/1.1") == 1


async def test_a_body_in_chunks_without_end_is_refused(bench: Any, port: int) -> None:
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    assert await status(port, HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 10) == 413


async def test_clients_that_leave_during_their_upload_are_rows_and_no_tracebacks(
    bench: Any, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"content-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
    assert await until_rows(bench, 3) == [499] * 3
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"x-%d: y\r\n" % number for number in range(300)) + b"\r\n",
        b"x-large: " + b"y" * 200_000 + b"\r\n\r\n",
        b"x-endless: " + b"y" * 400_000,
        b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(150)) + b"\r\n",
    ],
)
async def test_floods_of_headers_are_refused(port: int, head: bytes) -> None:
    assert await status(port, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + head) == 431


async def test_a_path_without_end_is_refused(port: int) -> None:
    assert await status(port, b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n") == 431


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"SSH-2.0-x\r\n\r\n", HEAD + b"content-length: -1\r\n\r\n", b"\x00" * 99],
)
async def test_what_is_no_http_is_answered_in_the_format_of_the_api(port: int, sent: bytes) -> None:
    said = await answers(port, sent)
    assert said.startswith(b"HTTP/1.1 400")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"


async def test_thousands_of_silent_connections_keep_nobody_out(
    bench: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 60.0)
    for kind in bounds.BoundedProtocol.__subclasses__():
        monkeypatch.setattr(kind, "most_connections", 50)
    bench.inference.pace_s = 0.05
    long = json.dumps({"model": "demo", "prompt": "abc", "max_tokens": 30, "stream": True}).encode()
    reader, worker = await asyncio.open_connection("127.0.0.1", port)
    worker.write(a_request(long))
    await reader.readline()
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(500)]
    assert await status(port, a_request()) == 200
    async with asyncio.timeout(20):
        while b"[DONE]" not in await reader.readline():
            pass
    for _, writer in (*idle, (reader, worker)):
        writer.close()


async def test_a_client_that_reads_nothing_of_its_answer_gives_its_place_back(
    bench: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.inference.context_length = 10**9
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", port))
    endless = json.dumps({"model": "demo", "prompt": "abc", "max_tokens": 10**8, "stream": True}).encode()
    await loop.sock_sendall(slow, a_request(endless))
    assert await until_rows(bench, 1) == [499]
    assert bench.admission.in_flight("demo-v1") == bench.inference.num_running == 0
    slow.close()


async def test_a_connection_is_used_again_and_requests_on_one_another_s_heels_are_answered_in_order(port: int) -> None:
    unknown = json.dumps({"model": "nobody", "prompt": "x"}).encode()
    said = await answers(port, a_request() + a_request(unknown) + a_request() + HEALTH)
    assert [answer[:3] for answer in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200", b"200"]


async def test_a_refused_upload_leaves_a_connection_that_is_closed_when_idle(port: int) -> None:
    said = await answers(port, a_request(b" " * 30_000))
    assert said.startswith(b"HTTP/1.1 413")


async def test_so_it_is_for_every_application_that_is_served(caplog: pytest.LogCaptureFixture) -> None:
    left = asyncio.Event()

    async def read(request: Request) -> Response:
        try:
            return Response(await request.body())
        finally:
            left.set()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    serving = asyncio.create_task(serve(Starlette(routes=[Route("/", read, methods=["POST"])]), "127.0.0.1", port))
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.01)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await left.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert "Traceback" not in caplog.text
