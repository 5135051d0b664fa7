"""Who writes variants: an OpenAI-compatible endpoint, whose answers are bounded in time and size and not believed."""

import ipaddress
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from ropewalk.client.errors import ClientError
from ropewalk.events.foreign import one_line, quoted
from ropewalk.stages.errors import StageError

_ANSWER_S, _CONNECT_S = 120.0, 10.0
_MOST_BYTES = 1 << 20  # of a response
_MOST_KEY_BYTES = 4_096
_PLAIN = "identity"  # a compressed answer could grow a thousandfold

Turns = Sequence[Mapping[str, str]]


class WriterError(ClientError):
    """This request came to nothing, another may; never leaves the room."""


class Writer(Protocol):
    """Says something to a conversation. For any thread."""

    @property
    def name(self) -> str:
        """For the mark of what it wrote."""

    def say(self, turns: Turns, max_tokens: int, temperature: float) -> str:
        """Empty if it came to no end. Raises WriterError, or StageError where no later request can succeed."""

    def close(self) -> None:
        """Let go of what it holds; whoever is being answered gets nothing any more."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """`url` is what stands before /chat/completions. Raises ClientError for one that would be wrong to use."""

    url: str
    model: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ClientError(
                f"--from has the value {quoted(self.url)}: give a base URL such as https://example.org/v1"
            )
        if self.key and parts.scheme == "http" and not self.is_here:
            raise ClientError(f"--key-file: a key is sent over https only, and --from is {quoted(self.url)}")
        if not self.model:
            raise ClientError("--model is missing: say which model of the endpoint writes")

    @property
    def host(self) -> str:
        """To whom examples are sent."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_key(file: Path | None) -> str:
    """The key in a file; empty without one. Raises ClientError, OSError."""
    if file is None:
        return ""
    with open(os.open(file.expanduser(), os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # a pipe would block
        key = opened.read(_MOST_KEY_BYTES + 1).strip()
    if not key or len(key) > _MOST_KEY_BYTES or not key.isascii() or any(byte <= 32 or byte == 127 for byte in key):
        raise ClientError(f"--key-file: {quoted(str(file))} holds no key: write it there alone, on one line")
    return key.decode()


class EndpointWriter:
    """Asks until a second of the monotonic clock. Redirections are not followed: they would take the key along."""

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self.name = one_line(f"{endpoint.model} at {endpoint.host}")
        self._model, self._until = endpoint.model, until
        headers = {"accept-encoding": _PLAIN} | ({"authorization": f"Bearer {endpoint.key}"} if endpoint.key else {})
        self._url = f"{endpoint.url.rstrip('/')}/chat/completions"
        timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S)
        self._client = httpx.Client(headers=headers, timeout=timeout, trust_env=not endpoint.is_here)

    def close(self) -> None:
        """Nothing: requests under way end with the process."""

    def say(self, turns: Turns, max_tokens: int, temperature: float) -> str:
        """See Writer."""
        body = {"model": self._model, "messages": list(turns), "max_tokens": max_tokens, "temperature": temperature}
        until = min(self._until, time.monotonic() + _ANSWER_S)
        try:
            with self._client.stream("POST", self._url, json=body) as response:
                text = _bounded(response, until)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise WriterError(f"{type(error).__name__}: {one_line(str(error))}") from None
        return _content(text)


def _bounded(response: httpx.Response, until: float) -> bytes:
    """The body of a good answer. Raises WriterError, StageError."""
    status, body = response.status_code, bytearray()
    if response.headers.get("content-encoding", _PLAIN) != _PLAIN:
        raise WriterError("the answer is compressed, which nobody asked for")
    for part in response.iter_raw():
        body += part
        if len(body) > _MOST_BYTES:
            raise WriterError(f"the answer has more than {_MOST_BYTES:,} bytes")
        if time.monotonic() > until:
            raise WriterError("the answer was not there in time")
    if status == httpx.codes.OK:
        return bytes(body)
    words = f"status {status}: {one_line(body.decode(errors='replace'))}"
    if status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.CONFLICT, httpx.codes.TOO_MANY_REQUESTS) or status >= 500:
        raise WriterError(words)
    raise StageError(f"the endpoint refuses to write, with {words}")


def _content(body: bytes) -> str:
    """The text of the first choice. Raises WriterError."""
    try:
        choice = json.loads(body)["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise WriterError("the answer is no chat completion") from None
    if not isinstance(text, str) or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise WriterError("the answer has no text, or half of a character in it")
    return "" if choice.get("finish_reason") == "length" else text
