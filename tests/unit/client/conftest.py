"""Stored messages without a bus, and an HTTP server that answers as told."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message
from ropewalk.events.envelope import Envelope

NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


@pytest.fixture
def log() -> Callable[..., list[Stored[Message]]]:
    """Messages in the order of the log, one second apart."""

    def stored(*messages: Message) -> list[Stored[Message]]:
        return [
            Stored(
                sequence=number,
                time=NOW + timedelta(seconds=number),
                envelope=Envelope(
                    id=str(number), type=message.type_name(), source="test", time="", run_id=message.run_id
                ),
                message=message,
            )
            for number, message in enumerate(messages)
        ]

    return stored


class Endpoint:
    """A server on loopback with one answer for everything; it remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answers(self, body: Any, status: int = 200) -> None:
        self.status, self.body = status, body if isinstance(body, bytes) else json.dumps(body).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                endpoint.asked.append((self.command, self.path, headers, content))
                self.send_response(endpoint.status)
                self.send_header("content-length", str(len(endpoint.body)))
                self.end_headers()
                self.wfile.write(endpoint.body)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        return Handler


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A running endpoint."""
    made = Endpoint()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()
