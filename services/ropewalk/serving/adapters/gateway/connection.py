"""One HTTP connection with bounds: nobody holds a place here by saying nothing, half of something, or far too much.

uvicorn waits without end for the rest of a request's head and body, keeps any number of connections, and waits for
clients that do not read. Here each of these has a limit, and what breaks one is answered as the API answers where an
answer is possible, then closed. The application sees a client that went away.
"""

import asyncio
import time
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ropewalk.serving.adapters.gateway.errors import ApiError

HEAD_S = 10.0  # from the first byte of a request to the end of its headers; a silent connection has as long
BODY_S = 60.0  # from there to the end of the body: 17 kB/s for the largest
READ_S = 30.0  # a client that takes nothing of its answer for so long has gone
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100

Phase = Literal["idle", "head", "body", "answer", "closed"]


class BoundedConnection(HttpToolsProtocol):
    """One connection. `phase` is what it waits for, `since` when that began."""

    most_connections = 1024  # the server sets it to what the process may open
    phase: Phase = "idle"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.since = time.monotonic()
        self._head_bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for("idle", HEAD_S)
        if len(self.connections) > self.most_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for("closed", None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.phase == "closed":
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self.phase == "head" and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.phase != "closed":
            self._wait_for("head", HEAD_S)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._head_bytes = 0
        if self.phase == "closed":
            return
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(_too_large())
            return
        self._wait_for("body", BODY_S)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        if self.phase == "body":
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        if self.phase == "body":
            self._wait_for("answer", None)
            super().on_message_complete()
            self._rest()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._rest()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        self.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(ApiError(400, f"this is no HTTP/1.1: {msg}", code="bad_request"))

    def close(self) -> None:
        """Take nothing more; what is still to be read there has its time."""
        self._wait_for("closed", None)
        self.transport.close()
        self.loop.call_later(READ_S, self.transport.abort)

    def _rest(self) -> None:
        """Wait for the next request once all of this one has come and all of its answer is out."""
        if self.phase == "answer" and self.cycle.response_complete:
            self._wait_for("idle", HEAD_S)

    def _wait_for(self, phase: Phase, seconds: float | None) -> None:
        self.phase, self.since = phase, time.monotonic()
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self.loop.call_later(seconds, self._give_up) if seconds is not None else None

    def _give_up(self) -> None:
        if self.phase == "idle":
            self.close()
        elif self.flow.read_paused:  # we do not read: the request before this one is being answered
            self._wait_for(self.phase, BODY_S)
        else:
            what, seconds = ("headers", HEAD_S) if self.phase == "head" else ("body", BODY_S)
            message = f"the {what} of the request did not arrive within {seconds:.0f} s"
            self._refuse(ApiError(408, message, code="request_timeout"))

    def _refuse(self, error: ApiError) -> None:
        """Answer without the application, unless an answer has begun, and close."""
        before = self.cycle is None or self.cycle.response_complete
        if not self.transport.is_closing() and (before if self.phase != "body" else not self.cycle.response_started):
            self.transport.write(_raw(error))
        self.close()

    def _make_room(self) -> None:
        """Close the connection that has asked for nothing for the longest time, or this one if all are at work."""
        others = [one for one in self.connections if isinstance(one, BoundedConnection) and one is not self]
        waiting = [one for one in others if one.phase in ("idle", "head")]
        oldest = min(waiting, key=lambda one: one.since, default=None)
        if oldest is not None:
            oldest.close()
        else:
            self._refuse(ApiError(503, "too many connections: try again in a moment", code="overloaded", retry_s=1))


def _too_large() -> ApiError:
    message = f"the headers have more than {MAX_HEAD_BYTES} bytes, or there are more than {MAX_HEADERS}"
    return ApiError(431, message, code="headers_too_large")


def _raw(error: ApiError) -> bytes:
    response = error.response()
    lines = [b"HTTP/1.1 %d " % error.status, b"connection: close"]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"", b""]) + bytes(response.body)
