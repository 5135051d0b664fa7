"""An OpenAI-compatible endpoint of somebody else: bounded in time and size, and not believed."""

import html
import ipaddress
import json
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

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
        if not _is_base_url(self.url):
            raise EndpointError(
                f"the endpoint has the address {quoted(self.url)}: give a base URL such as https://example.org/v1"
            )
        if self.key and urlsplit(self.url).scheme == "http" and not self.is_here:
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


def _is_base_url(url: str) -> bool:
    """Whether it can be asked at all: what the sockets refuse is found here, not in a thread that asks."""
    try:
        parts = urlsplit(url)
        httpx.URL(url).raw_host.decode().encode("idna")  # as a socket does: labels have 1 to 63 characters
        is_sound = parts.port != 0  # looked up: one above 65,535 raises
    except (ValueError, httpx.InvalidURL):
        return False
    is_plain = "@" not in parts.netloc and not parts.query
    return is_sound and is_plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def read_key(file: Path | None) -> str:
    """The key in a file; empty without one. Raises EndpointError."""
    if file is None:
        return ""
    try:
        descriptor = os.open(file.expanduser(), os.O_RDONLY | os.O_NONBLOCK)  # a pipe would block
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", "") or "it is no name of a file"
        raise EndpointError(f"the file {quoted(str(file))} cannot be read ({reason}): name one with the key") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EndpointError(f"{quoted(str(file))} is no regular file: name one that holds the key alone")
        key = os.read(descriptor, _MOST_KEY_BYTES + 1).strip()
    finally:
        os.close(descriptor)
    if not key or len(key) > _MOST_KEY_BYTES or not key.isascii() or any(byte <= 32 or byte == 127 for byte in key):
        raise EndpointError(f"the file {quoted(str(file))} holds no key: write it there alone, on one line")
    return key.decode()


class ChatEndpoint:
    """Asks until a second of the monotonic clock. Redirections are not followed: they would take the key along.

    For any thread.
    """

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self._model, self._key, self._until = endpoint.model, endpoint.key, until
        headers = {"accept-encoding": _PLAIN} | ({"authorization": f"Bearer {endpoint.key}"} if endpoint.key else {})
        self._url = f"{endpoint.url.rstrip('/')}/chat/completions"
        timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S)
        self._client = httpx.Client(headers=headers, timeout=timeout, trust_env=not endpoint.is_here)

    def complete(self, body: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a body without its model: an object. Raises NoAnswerError, EndpointError."""
        until = min(self._until, time.monotonic() + _ANSWER_S)
        try:
            with self._client.stream("POST", self._url, json={"model": self._model, **body}) as response:
                text = _bounded(response, until, self._key)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = one_line(_without(self._key, str(error)))  # it quotes a header that is none
            raise NoAnswerError(f"{type(error).__name__}: {words}") from None
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise NoAnswerError("the answer is no chat completion")
        return answer


def _bounded(response: httpx.Response, until: float, key: str) -> bytes:
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
    words = f"status {status}: {one_line(_without(key, body.decode(errors='replace')))}"
    if status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.CONFLICT, httpx.codes.TOO_MANY_REQUESTS) or status >= 500:
        raise NoAnswerError(words)
    raise EndpointError(f"the endpoint refuses to answer, with {words}")


def _without(key: str, said: str) -> str:
    """What an endpoint said, without the key: some send back what they were asked, and that is shown and kept.

    Before it is cut: half a key is a secret too. As it is, and as JSON, HTML and an address write it.
    """
    in_json = json.dumps(key)[1:-1]
    forms = {key, in_json, in_json.replace("/", "\\/"), html.escape(key), quote(key, safe="")}
    for form in sorted(filter(None, forms), key=len, reverse=True):
        said = said.replace(form, "…")
    return said


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
