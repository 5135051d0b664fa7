"""Triton's HTTP protocol (KServe v2, `generate`) for clients with a key."""

import re
from collections.abc import AsyncGenerator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ropewalk.events.foreign import quoted
from ropewalk.serving.domain.admission import Admission, FullError
from ropewalk.serving.domain.keys import KeyRing
from ropewalk.serving.settings import TritonSockets

# Matched against the path as it was sent: it may hold nothing that could be decoded into something else.
_MODEL = r"/v2/models/(?P<model>\w[\w.-]{0,200})(/versions/\d{1,9})?"
_HEALTH = re.compile(rb"/v2/health/(live|ready)")
_READ = re.compile(rf"/v2|/metrics|{_MODEL}(/ready|/config)?".encode())
_ASK = re.compile(rf"{_MODEL}/(infer|generate|generate_stream)".encode())
_PASSED_ON = ("content-type", "inference-header-content-length", "accept", "traceparent", "tracestate")
# The rest of Triton's head is dropped.
_HANDED_BACK = ("content-type", "content-length", "inference-header-content-length")


class HttpDoor:
    """A Starlette application. As an async context manager it drops its connections to Triton at the end."""

    def __init__(self, sockets: TritonSockets, keys: KeyRing, admission: Admission, max_body_bytes: int) -> None:
        self._keys = keys
        self._admission = admission
        self._max_body_bytes = max_body_bytes
        self._triton = _client(sockets.http)
        self._metrics = _client(sockets.metrics)

    def app(self) -> Starlette:
        """The application: one route, since what may pass is decided by the path as it was sent."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        path: bytes = request.scope["raw_path"]
        asking = request.method == "POST"
        if not asking and (health := _HEALTH.fullmatch(path)):
            if health[1] == b"ready" and self._admission.is_leaving():
                return _error(503, "this server is about to end: ask another one")
            return await self._pass_on(request, path, b"", "")
        if self._keys.key_id(request.headers.get("authorization", "")) is None:
            return _error(401, "send one of this stack's API keys: `Authorization: Bearer <key>`")
        allowed = (_ASK if asking else _READ).fullmatch(path)
        if allowed is None:
            return _error(404, f"{request.method} {quoted(path.decode('latin-1'))} is not offered here")
        if request.headers.get("content-encoding", "identity") != "identity":
            return _error(415, "send the body without Content-Encoding")
        body = await _body_of(request, self._max_body_bytes)
        if body is None:
            return _error(413, f"the body is larger than {self._max_body_bytes:,} bytes: send a shorter request")
        return await self._pass_on(request, path, body, (allowed["model"] or b"").decode() if asking else "")

    async def _pass_on(self, request: Request, path: bytes, body: bytes, model: str) -> Response:
        client = self._metrics if path == b"/metrics" else self._triton
        headers = {name: value for name in _PASSED_ON if (value := request.headers.get(name))}
        sent = client.build_request(request.method, path.decode(), content=body, headers=headers)
        answers = self._answers(client, sent, model)
        try:
            first = await anext(answers)
        except FullError as error:
            return _error(429, str(error))
        except httpx.HTTPError as error:
            return _error(503, f"Triton does not answer ({type(error).__name__}): try again in a moment")
        assert isinstance(first, httpx.Response)
        kept = {name: value for name in _HANDED_BACK if (value := first.headers.get(name))}
        return StreamingResponse(_bytes_of(answers), status_code=first.status_code, headers=kept)

    async def _answers(
        self, client: httpx.AsyncClient, request: httpx.Request, model: str
    ) -> AsyncGenerator[httpx.Response | bytes, None]:
        """The head of Triton's answer, then its body as it comes; the request counts as long as this is open."""
        with self._admission.admitted(model):
            response = await client.send(request, stream=True)
            try:
                yield response
                async for part in response.aiter_raw():
                    yield part
            finally:
                await response.aclose()

    async def __aenter__(self) -> "HttpDoor":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._triton.aclose()
        await self._metrics.aclose()


async def _bytes_of(answers: AsyncGenerator[httpx.Response | bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        async for part in answers:
            assert isinstance(part, bytes)
            yield part
    except httpx.HTTPError:
        return  # Triton went away in the middle: the client sees a short answer, as it would without the door
    finally:
        await answers.aclose()


async def _body_of(request: Request, limit: int) -> bytes | None:
    """The body, or nothing when it is larger than the limit."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            return None
    return bytes(body)


def _client(socket: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://triton", timeout=None, trust_env=False
    )


def _error(status: int, sentence: str) -> JSONResponse:
    """An error as Triton's clients expect it."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}.get(status)
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)
