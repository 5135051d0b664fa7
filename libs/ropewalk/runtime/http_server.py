"""An HTTP server whose clients cannot hold it: uvicorn in the service's event loop, with bounds on what may arrive.

uvicorn waits for ever for the rest of a request and keeps any number of silent connections. Here the head of a request
has a time and a size, a body must keep coming, and of too many connections the one that has waited longest without a
whole request is dropped. How long a *body* may be is for the application to say, in its own words.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Literal

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 512
MAX_HEAD_BYTES = 128 * 1024
HEAD_S = 10.0  # from the connection, or the first byte of a next request, to the end of the head
STALL_S = 10.0  # a body that has brought less than this many bytes in this time is given up
STALL_BYTES = 16 * 1024
_LINGER_S = 1.0  # for a client that still sends while its answer is on the way: closed at once, it would not see it

_REFUSALS = {
    408: b"408 Request Timeout",
    431: b"431 Request Header Fields Too Large",
    503: b"503 Service Unavailable",
}
_Phase = Literal["head", "body", "whole"]


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request is whole when its last byte is here; until then a timer runs."""

    _phase: _Phase = "head"
    _alarm: asyncio.TimerHandle | None = None
    _num_bytes = 0  # of the head so far, or of the body since the timer was set
    waiting_since = 0.0

    def connection_made(self, transport: Any) -> None:
        """Make room if there are too many, and start the clock."""
        super().connection_made(transport)
        self._enter("head", HEAD_S)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives."""
        self._num_bytes += len(data)
        super().data_received(data)
        if self._phase == "head" and self._num_bytes > MAX_HEAD_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        """The first byte of a request: on a connection that was kept, the clock starts here."""
        super().on_message_begin()
        if self._phase != "head":
            self._enter("head", HEAD_S)

    def on_headers_complete(self) -> None:
        """From here on the body must keep coming."""
        super().on_headers_complete()
        self._enter("body", STALL_S)

    def on_message_complete(self) -> None:
        """The request is whole; how long the answer takes is the application's business."""
        super().on_message_complete()
        self._phase = "whole"
        self._disarm()

    def on_response_complete(self) -> None:
        """Whoever was answered before its body was here is not read to the end."""
        super().on_response_complete()
        if self._phase == "body" and self.cycle.response_complete:
            self._arm(_LINGER_S)

    def _enter(self, phase: _Phase, within_s: float) -> None:
        self._phase = phase
        self._arm(within_s)

    def _arm(self, within_s: float) -> None:
        self._disarm()
        self._num_bytes, self.waiting_since = 0, self.loop.time()
        self._alarm = self.loop.call_later(within_s, self._expire)

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _expire(self) -> None:
        came, answered = self._num_bytes, self.cycle is not None and self.cycle.response_started
        keeps_coming = came >= STALL_BYTES or self.flow.read_paused  # paused: it is us who do not read
        if self._phase == "body" and not answered and keeps_coming:
            self._arm(STALL_S)
        elif self._phase == "body" and answered:
            self.transport.close()
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        self._disarm()
        if not self.transport.is_closing():
            reason = _REFUSALS[status]
            self.transport.write(b"HTTP/1.1 " + reason + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def _make_room(self) -> None:
        """Drop the connection that has been waiting longest for its request to become whole."""
        waiting = [other for other in self.connections if isinstance(other, BoundedProtocol) and other.is_waiting]
        if waiting:
            min(waiting, key=lambda other: other.waiting_since).transport.close()
        else:
            self._refuse(503)

    @property
    def is_waiting(self) -> bool:
        """Nothing is being done for this connection."""
        return self._phase != "whole" or self.cycle is None or self.cycle.response_complete


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


def listen(host: str, port: int) -> socket.socket:
    """A socket that others may connect to. Raises OSError, which says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, asyncio sets TCP_NODELAY; without it every answer waits 40 ms for the client's ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


async def serve_http(app: Any, listener: socket.socket, *, grace_s: int) -> None:
    """Serve an ASGI application until cancelled; requests that run then get `grace_s` to end."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
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
