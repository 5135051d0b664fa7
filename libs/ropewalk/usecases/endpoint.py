"""An OpenAI-compatible endpoint of somebody else: bounded in time and size, and not believed."""

import ipaddress
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from ropewalk.errors import RopewalkError
from ropewalk.events.foreign import one_line, quoted

_ANSWER_S, _CONNECT_S = 120.0, 10.0
_MOST_BYTES = 1 << 20  # of a response
_MOST_KEY_BYTES = 4_096
_PLAIN = "identity"  # a compressed answer could grow a thousandfold


class EndpointError(RopewalkError, ValueError):
    """An address or a key that would be wrong to use, or an endpoint to which no later request can succeed."""


class NoAnswerError(RopewalkError):
    """This request came to nothing, another may."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """`url` is what stands before /chat/completions. Raises EndpointError for one that would be wrong to use."""

    url: str
    model: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise EndpointError(
                f"the endpoint has the address {quoted(self.url)}: give a base URL such as https://example.org/v1"
            )
        if self.key and parts.scheme == "http" and not self.is_here:
            raise EndpointError(f"a key is sent over https only, and the endpoint is {quoted(self.url)}")
        if not self.model:
            raise EndpointError("the model is missing: say which one of the endpoint is asked")

    @property
    def host(self) -> str:
        """To whom things are sent."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_key(file: Path | None) -> str:
    """The key in a file; empty without one. Raises EndpointError, OSError."""
    if file is None:
        return ""
    with open(os.open(file.expanduser(), os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # a pipe would block
        key = opened.read(_MOST_KEY_BYTES + 1).strip()
    if not key or len(key) > _MOST_KEY_BYTES or not key.isascii() or any(byte <= 32 or byte == 127 for byte in key):
        raise EndpointError(f"the file {quoted(str(file))} holds no key: write it there alone, on one line")
    return key.decode()


class ChatEndpoint:
    """Asks until a second of the monotonic clock. Redirections are not followed: they would take the key along.

    For any thread.
    """

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self._model, self._until = endpoint.model, until
        headers = {"accept-encoding": _PLAIN} | ({"authorization": f"Bearer {endpoint.key}"} if endpoint.key else {})
        self._url = f"{endpoint.url.rstrip('/')}/chat/completions"
        timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S)
        self._client = httpx.Client(headers=headers, timeout=timeout, trust_env=not endpoint.is_here)

    def complete(self, body: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a body without its model: an object. Raises NoAnswerError, EndpointError."""
        until = min(self._until, time.monotonic() + _ANSWER_S)
        try:
            with self._client.stream("POST", self._url, json={"model": self._model, **body}) as response:
                text = _bounded(response, until)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswerError(f"{type(error).__name__}: {one_line(str(error))}") from None
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise NoAnswerError("the answer is no chat completion")
        return answer


def _bounded(response: httpx.Response, until: float) -> bytes:
    """The body of a good answer. Raises NoAnswerError, EndpointError."""
    status, body = response.status_code, bytearray()
    if response.headers.get("content-encoding", _PLAIN) != _PLAIN:
        raise NoAnswerError("the answer is compressed, which nobody asked for")
    for part in response.iter_raw():
        body += part
        if len(body) > _MOST_BYTES:
            raise NoAnswerError(f"the answer has more than {_MOST_BYTES:,} bytes")
        if time.monotonic() > until:
            raise NoAnswerError("the answer was not there in time")
    if status == httpx.codes.OK:
        return bytes(body)
    words = f"status {status}: {one_line(body.decode(errors='replace'))}"
    if status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.CONFLICT, httpx.codes.TOO_MANY_REQUESTS) or status >= 500:
        raise NoAnswerError(words)
    raise EndpointError(f"the endpoint refuses to answer, with {words}")


def text_of(answer: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of the first choice, and whether it came to its end. Raises NoAnswerError."""
    try:
        choice = answer["choices"][0]
        text, ending = choice["message"]["content"], choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        raise NoAnswerError("the answer is no chat completion") from None
    if not isinstance(text, str) or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise NoAnswerError("the answer has no text, or half of a character in it")
    return text, ending != "length"
