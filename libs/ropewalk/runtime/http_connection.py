"""One HTTP connection that cannot hold the server: what arrives has a time and a size, and so has what is not read.

uvicorn waits for ever for the rest of a request, keeps any number of silent connections, and waits for clients that
do not read. Here the head of a request has a time and a size, a body must keep coming, an answer must be taken, and
of too many connections the one that has waited longest without a whole request is dropped. How long a *body* may be
is for the application to say, in its own words; it sees a client that was given up as one that has left.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD_BYTES = 128 * 1024
MAX_HEADERS = 200
HEAD_S = 10.0  # from the connection, or the first byte of a next request, to the end of the head
STALL_S = 10.0  # a body that has brought less than this many bytes in this time is given up
STALL_BYTES = 16 * 1024
READ_S = 30.0  # a client that takes nothing of its answer for so long has left
_LINGER_S = 1.0  # for a client that still sends while its answer is on the way: closed at once, it would not see it

_Phase = Literal["head", "body", "whole", "closed"]
RefusalBody = Callable[[int, str], tuple[str, bytes]]  # status and sentence: content type and body


def plain(_status: int, sentence: str) -> tuple[str, bytes]:
    """A refusal as text."""
    return "text/plain; charset=utf-8", sentence.encode() + b"\n"


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request is whole when its last byte is here; until then a timer runs."""

    most_connections = 512
    refusal: RefusalBody = staticmethod(plain)
    waiting_since = 0.0
    _phase: _Phase = "head"
    _alarm: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _num_bytes = 0  # of the head so far, or of the body since the timer was set

    def connection_made(self, transport: Any) -> None:
        """Make room if there are too many, and start the clock."""
        super().connection_made(transport)
        self._enter("head", HEAD_S)
        if len(self.connections) > self.most_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._phase = "closed"
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives; nothing is read of a connection that is being closed."""
        if self._phase == "closed":
            return
        self._num_bytes += len(data)
        super().data_received(data)
        if self._phase == "head" and self._num_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"the head of the request has more than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a request: on a connection that was kept, the clock starts here."""
        super().on_message_begin()
        if self._phase not in ("head", "closed"):
            self._enter("head", HEAD_S)

    def on_headers_complete(self) -> None:
        """From here on the body must keep coming."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(431, f"the head has more than {MAX_HEAD_BYTES} bytes or more than {MAX_HEADERS} fields")
        if self._phase != "closed":
            super().on_headers_complete()
            self._enter("body", STALL_S)

    def on_body(self, body: bytes) -> None:
        """Hand it on."""
        if self._phase == "body":
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; how long the answer takes is the application's business."""
        if self._phase == "body":
            super().on_message_complete()
            self._phase = "whole"
            self._disarm()

    def on_response_complete(self) -> None:
        """Whoever was answered before its body was here is not read to the end."""
        super().on_response_complete()
        if self._phase == "body" and self.cycle.response_complete:
            self._arm(_LINGER_S)

    def pause_writing(self) -> None:
        """The client reads slower than it is answered; not at all is too slow."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """It reads."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked for."""
        self._close()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, msg)

    @property
    def is_waiting(self) -> bool:
        """Nothing is being done for this connection."""
        return self._phase != "whole" or self.cycle is None or self.cycle.response_complete

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

    def _await_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._reading = self.loop.call_later(READ_S, self.transport.abort)

    def _expire(self) -> None:
        came, answered = self._num_bytes, self.cycle is not None and self.cycle.response_started
        keeps_coming = came >= STALL_BYTES or self.flow.read_paused  # paused: it is us who do not read
        if self._phase == "body" and not answered and keeps_coming:
            self._arm(STALL_S)
        elif self._phase == "body":
            self._refuse(408, "the body of the request stopped coming")
        elif answered and not self.cycle.response_complete:  # it may follow when the answer before it is out
            self._arm(HEAD_S)
        else:
            self._refuse(408, f"the head of the request was not complete within {HEAD_S:g} s")

    def _refuse(self, status: int, sentence: str) -> None:
        """Say so, unless an answer to this or an earlier request is on its way, and close."""
        before_this = self.cycle is None or self.cycle.response_complete
        silent = before_this if self._phase != "body" else not self.cycle.response_started
        if silent and not self.transport.is_closing():
            kind, body = self.refusal(status, sentence)
            head = f"content-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self._close()

    def _close(self) -> None:
        """Take nothing more; what is on its way to the client has its time."""
        self._phase = "closed"
        self._disarm()
        self.transport.close()
        self._await_reading()

    def _make_room(self) -> None:
        """Drop the connection that has been waiting longest for its request to become whole."""
        others = [other for other in self.connections if isinstance(other, BoundedProtocol) and other is not self]
        waiting = [other for other in others if other.is_waiting and other._phase != "closed"]
        if waiting:
            min(waiting, key=lambda other: other.waiting_since)._close()
        else:
            self._refuse(503, "too many connections: try again in a moment")
