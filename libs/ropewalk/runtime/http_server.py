"""An HTTP server whose clients cannot hold it: uvicorn in the service's event loop, on bounded connections."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import Receive

from ropewalk.runtime.health import ListenError
from ropewalk.runtime.http_connection import BoundedProtocol, RefusalBody, plain


class _Server(uvicorn.Server):
    """uvicorn wakes ten times a second to see whether it should end; this one is told. Signals are the service's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ended.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A socket that others may connect to. Raises ListenError, which names the `setting` that chooses the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, asyncio sets TCP_NODELAY; without it every answer waits 40 ms for the client's ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        sentence = f"cannot listen on {host}:{port} ({error.strerror}): set {setting} to a free one"
        raise ListenError(sentence) from None
    return listener


async def serve_http(
    app: Any,
    listener: socket.socket,
    *,
    grace_s: int,
    most_connections: int = BoundedProtocol.most_connections,
    refusal: RefusalBody = plain,
) -> None:
    """Serve an ASGI application until cancelled; requests that run then get `grace_s` to end.

    `refusal` words what is said to clients that never reach the application.
    """
    config = uvicorn.Config(
        app,
        http=_connections(most_connections, refusal),
        ws="none",
        log_config=None,
        log_level="error",  # a stranger that sends nonsense must not fill the log
        access_log=False,
        date_header=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=grace_s,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(task)
    finally:
        server.ended.set()
        await task


async def client_left(receive: Receive) -> None:
    """Ends when the client has closed the connection. What else comes of the request is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _connections(most: int, words: RefusalBody) -> type[BoundedProtocol]:
    class Connection(BoundedProtocol):
        most_connections = most
        refusal = staticmethod(words)

    return Connection
