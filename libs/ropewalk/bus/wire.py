"""One blocking connection that speaks the NATS protocol with the standard library only.

Two jobs need it: a command that must answer before asynchronous clients are even imported, and reading a whole
stream, where the price of a message decides. It publishes nothing to a stream, it does not reconnect, and services
use `bus`. Reference: the NATS client protocol, https://docs.nats.io/reference/reference-protocols/nats-protocol.
"""

import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit

from ropewalk.bus.errors import IDENTIFY
from ropewalk.bus.servers import servers_of
from ropewalk.errors import RopewalkError

_CRLF = b"\r\n"
_CHUNK = 1 << 18  # bytes of one read: a page of messages in few system calls
_DEFAULT_PORT = 4222
_MOST_INSTANCES = 20
_NEXT_SERVER_S = 2.0  # for a server of several; one whose machine is gone does not even refuse


class WireError(RopewalkError, OSError):
    """The server cannot be reached or refused something; the text is a sentence with the address."""


class NoResponderError(WireError):
    """Nobody listens on the subject."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the servers are, any of which will do, and who asks. Files are read when connecting."""

    url: str
    user: str = ""
    password: str = ""
    nkey_file: str = ""
    tls_ca: str = ""


class Frame(NamedTuple):
    """A message as it arrived. `headers` is the raw block, without its blank line; empty if there is none."""

    subject: bytes
    headers: bytes
    body: bytes

    @property
    def status(self) -> bytes:
        """The status of a message from the server itself, `204` say; empty for others."""
        return self.headers[9:12] if self.headers[8:9] == b" " else b""


class SilenceError(WireError):
    """Somebody listens, but an answer did not come in time."""


class Wire:
    """A connection; use it as a context manager. No single answer may take longer than `timeout_s`."""

    def __init__(self, address: Address, timeout_s: float = 10.0) -> None:
        """Connect to the first server that answers. Raises WireError."""
        *others, last = servers_of(address.url)
        for url in others:
            with contextlib.suppress(OSError):
                self._connect(url, address, min(timeout_s, _NEXT_SERVER_S))
                self._socket.settimeout(timeout_s)
                return
        self._connect(last, address, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._socket.close()

    def request(self, subject: str, body: bytes, timeout_s: float | None = None) -> Frame:
        """The one answer to a request. Raises NoResponderError, SilenceError, WireError."""
        patience_s = self._socket.gettimeout()
        self._socket.settimeout(timeout_s or patience_s)
        try:
            self._publish(subject, body)
            return self._next_frame()
        finally:
            self._socket.settimeout(patience_s)

    def request_all(self, subject: str, body: bytes, others_s: float) -> list[Frame]:
        """The answers of all instances: the first, and who speaks within `others_s` of it. Raises as `request`."""
        answers = [self.request(subject, body)]
        patience_s, deadline = self._socket.gettimeout(), time.monotonic() + others_s
        try:
            while len(answers) < _MOST_INSTANCES and (left_s := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left_s)
                answers.append(self._next_frame())
        except SilenceError:
            pass  # these were all
        finally:
            self._socket.settimeout(patience_s)
        return answers

    def request_many(self, subject: str, body: bytes) -> Iterator[Frame]:
        """Every answer, up to and with the first one that has a status."""
        self._publish(subject, body)
        while True:
            frame = self._next_frame()
            yield frame
            if frame.status:
                return

    def _connect(self, url: str, address: Address, timeout_s: float) -> None:
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port or _DEFAULT_PORT
        self._name = f"{parts.scheme}://{host}:{port}"
        self._buffer = bytearray()
        self._at = 0  # how much of the buffer has been read
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise WireError(f"the bus at {self._name} does not answer ({error})") from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if parts.scheme == "tls":
                self._encrypt(host, address.tls_ca)
            self._introduce(_with_user_of(parts, address))
        except BaseException:
            self._socket.close()
            raise

    def _encrypt(self, host: str, authority: str) -> None:
        """TLS before anything is said, as everywhere here."""
        import ssl  # costs the others 20 ms

        try:
            context = ssl.create_default_context(cafile=authority or None)
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except OSError as error:  # also a server that gave up waiting for a hello and speaks plainly
            raise WireError(f"there is no TLS with the bus at {self._name} ({error})") from None

    def _introduce(self, address: Address) -> None:
        line = self._line()
        if not line.startswith(b"INFO "):
            raise WireError(f"at {self._name} is no NATS server: it says {line[:40]!r}")
        told = json.loads(line[5:])
        nonce, self._most_bytes = str(told.get("nonce", "")), int(told.get("max_payload", 1 << 20))
        self._inbox = f"_INBOX{f'_{address.user}' if address.user else ''}.{secrets.token_hex(11)}"
        hello = {
            "verbose": False,
            "pedantic": False,
            "lang": "python",
            "version": "1",
            "protocol": 1,
            "headers": True,
            "no_responders": True,
            **_credentials(address, nonce),
        }
        self._send(b"CONNECT " + json.dumps(hello).encode() + _CRLF + b"PING\r\n")
        while self._line_or_error() != b"PONG":
            pass
        self._send(f"SUB {self._inbox}.* 1\r\n".encode())

    def _publish(self, subject: str, body: bytes) -> None:
        if len(body) > self._most_bytes:
            raise WireError(f"a question of {len(body):,} bytes is more than the bus at {self._name} takes")
        reply = f"{self._inbox}.{secrets.token_hex(4)}"
        self._asked, self._reply = subject, reply.encode()
        self._send(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + _CRLF)

    def _next_frame(self) -> Frame:
        """The next message for the present request; what belongs to an abandoned one is passed over."""
        while True:
            words = self._line_or_error().split(b" ")
            if words[0] not in (b"MSG", b"HMSG"):
                continue
            length = int(words[-1])  # of headers and body together
            content = self._take(length + 2)
            head = int(words[-2]) if words[0] == b"HMSG" else 0  # bytes of headers, their blank line included
            if words[1] == self._reply:  # else the answer to a question that was given up
                frame = Frame(words[1], content[: max(head - 4, 0)], content[head:length])
                if frame.status == b"503":
                    raise NoResponderError(f"nobody answers on {self._asked} at {self._name}")
                return frame

    def _line_or_error(self) -> bytes:
        while True:
            line = self._line()
            if line == b"PING":
                self._send(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                said = line[5:].decode(errors="replace").strip("'")
                remedy = f"; {IDENTIFY}" if said.startswith("Authorization") else ""
                raise WireError(f"the bus at {self._name} says: {said}{remedy}")
            elif not line.startswith((b"INFO ", b"+OK")):
                return line

    def _line(self) -> bytes:
        while (end := self._buffer.find(_CRLF, self._at)) < 0:
            self._receive()
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return line

    def _take(self, length: int) -> bytes:
        while len(self._buffer) - self._at < length:
            self._receive()
        content = bytes(self._buffer[self._at : self._at + length])
        self._at += length
        return content

    def _receive(self) -> None:
        """More bytes; what has been read is forgotten only here, once per chunk instead of once per message."""
        del self._buffer[: self._at]
        self._at = 0
        try:
            chunk = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise SilenceError(f"no answer from the bus at {self._name} in {self._socket.gettimeout()} s") from None
        except OSError as error:
            raise WireError(f"the connection to the bus at {self._name} broke ({error})") from None
        if not chunk:
            raise WireError(f"the bus at {self._name} closed the connection")
        self._buffer += chunk

    def _send(self, content: bytes) -> None:
        try:
            self._socket.sendall(content)
        except OSError as error:
            raise WireError(f"the connection to the bus at {self._name} broke ({error})") from None


def _with_user_of(parts: SplitResult, address: Address) -> Address:
    """A URL may name the user."""
    if address.user or not parts.username:
        return address
    return replace(address, user=unquote(parts.username), password=unquote(parts.password or ""))


def _credentials(address: Address, nonce: str) -> dict[str, str]:
    if address.nkey_file:
        import nkeys  # only where there is a key

        pair = nkeys.from_seed(bytearray(Path(address.nkey_file).read_bytes().strip()))
        signature = base64.urlsafe_b64encode(pair.sign(nonce.encode())).rstrip(b"=").decode()
        return {"nkey": pair.public_key.decode(), "sig": signature}
    return {"user": address.user, "pass": address.password} if address.user else {}


def header_values(block: bytes) -> dict[str, str]:
    """The headers of a frame by name; of a repeated name the last."""
    pairs = [line.partition(":") for line in block.decode("utf-8", "replace").split("\r\n")[1:]]
    return {name: value.strip() for name, _, value in pairs}
