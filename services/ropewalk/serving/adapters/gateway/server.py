"""Runs the gateway in the service's event loop."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from ropewalk.serving.adapters.gateway.connection import BoundedConnection
from ropewalk.serving.errors import ServingError

_GRACE_S = 5
_MOST_CONNECTIONS = 8192


class _Server(uvicorn.Server):
    """Leaves the signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: Starlette, host: str, port: int, *, setting: str = "ROPEWALK_SERVING_PORT") -> None:
    """Serve until cancelled, then let running requests end. Raises ServingError when the port is taken.

    `setting` is the variable that chooses the port, for the error.
    """
    listener = _listener(host, port, setting)
    config = uvicorn.Config(
        _forgiving(app),
        http=_connection_class(),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(running)
    finally:
        server.should_exit = True
        await running


def _forgiving(app: Starlette) -> ASGIApp:
    """A client that leaves during its upload is no error, and nobody is there to be told."""

    async def serving(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await app(scope, receive, send)

    return serving


def _connection_class() -> type[BoundedConnection]:
    """Connections take at most half of the files that this process may open; the backend and the bus need some."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    class Connection(BoundedConnection):
        most_connections = min(most // 2, _MOST_CONNECTIONS) if most > 0 else _MOST_CONNECTIONS

    return Connection


def _listener(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, asyncio sets TCP_NODELAY; without it every answer waits 40 ms for the client's ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServingError(f"cannot listen on {host}:{port} ({error.strerror}): set {setting} to a free one") from None
    return listener
