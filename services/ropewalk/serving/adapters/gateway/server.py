"""Runs an endpoint of this service in its event loop, on connections that are bounded."""

import contextlib
import resource

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from ropewalk.runtime.http_server import listen, serve_http
from ropewalk.serving.adapters.gateway.errors import ApiError

_GRACE_S = 5
_MOST_CONNECTIONS = 8192
_CODES = {400: "bad_request", 408: "request_timeout", 431: "headers_too_large", 503: "overloaded"}


async def serve(
    app: Starlette, host: str, port: int, *, setting: str = "ROPEWALK_SERVING_PORT", grace_s: int = _GRACE_S
) -> None:
    """Serve until cancelled; requests that run then get `grace_s`. `setting` chooses the port. Raises ListenError."""
    listener, most = listen(host, port, setting), _most_connections()
    await serve_http(_forgiving(app), listener, grace_s=grace_s, most_connections=most, refusal=_refusal)


def _most_connections() -> int:
    """A quarter of the files that this process may open: there are two endpoints, and the backend and bus need some."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(most // 4, _MOST_CONNECTIONS) if most > 0 else _MOST_CONNECTIONS


def _refusal(status: int, sentence: str) -> tuple[str, bytes]:
    response = ApiError(status, sentence, code=_CODES[status]).response()
    return "application/json", bytes(response.body)


def _forgiving(app: Starlette) -> ASGIApp:
    """A client that leaves during its upload is no error, and nobody is there to be told."""

    async def serving(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await app(scope, receive, send)

    return serving
