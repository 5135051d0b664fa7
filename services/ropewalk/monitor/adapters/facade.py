"""ClickHouse's HTTP interface over the engine in this process, for clickhouse-connect, curl and dashboards.

A request is heard in this order: who asks, its body (bounded), a slot, then the statement in a thread; a client that
leaves ends its statement, and a slot is held until its answer has been taken. Not served: sessions (temporary tables),
external tables, native block compression.
"""

import asyncio
import contextlib
import json
import threading
import uuid

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ropewalk.monitor.adapters.accounts import AUTHENTICATION_FAILED, REQUIRED_PASSWORD, Account, account_of
from ropewalk.monitor.adapters.answers import PIECE_BYTES, kept, make, pieces
from ropewalk.monitor.adapters.embedded import EmbeddedEngine, EngineError, Statement, StatementResult, refused
from ropewalk.monitor.adapters.http_request import (
    READER_BYTES,
    WRITER_BYTES,
    body_of,
    compressed,
    query_id_of,
    statement_of,
)
from ropewalk.monitor.adapters.running import Runner
from ropewalk.monitor.adapters.slots import TOO_MANY_QUERIES, Slots
from ropewalk.monitor.domain.allowed import check_formats
from ropewalk.monitor.domain.statements import ForbiddenError, check_read, output_format
from ropewalk.runtime.http_server import client_left, listen, serve_http

READONLY = 164
_NOT_FOUND = {46, 47, 50, 56, 60, 73, 81, 115}
_BAD_REQUEST = {6, 26, 27, 36, 38, 41, 42, 43, 53, 62, 69, 70, 72, 117, 130, 131, 184, 386, 403, 456, 457}
_STATUS = (
    dict.fromkeys(_NOT_FOUND, 404)
    | dict.fromkeys(_BAD_REQUEST, 400)
    | {READONLY: 403, AUTHENTICATION_FAILED: 403, REQUIRED_PASSWORD: 401, 48: 501, 159: 408, TOO_MANY_QUERIES: 503}
)
_TSV = "text/tab-separated-values"
_CONTENT_TYPES = {"JSON": "application/json", "CSV": "text/csv", "Tab": _TSV, "TSV": _TSV}  # by a format's beginning
_OWN_NAMES = ["127.0.0.1", "localhost"]
_TAKING_S = 60.0  # a client that has not taken its answer by then is closed: it holds memory and a slot


class Facade:
    """The routes."""

    def __init__(self, engine: EmbeddedEngine, accounts: tuple[Account, ...]) -> None:
        self.slots = Slots()
        self._engine = engine
        self._runner = Runner(engine)
        self._accounts = accounts
        self._large = threading.Lock()  # held by whoever makes a large answer

    def app(self) -> Starlette:
        """The ASGI application. Who lets anonymous readers in must be asked by its own name, or a web page whose
        name was bound to this address could read along."""
        open_to_all = any(account.anonymous for account in self._accounts)
        return Starlette(
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_OWN_NAMES)] if open_to_all else [],
            routes=[
                Route("/ping", _ok, methods=["GET", "HEAD"]),
                Route("/replicas_status", _ok, methods=["GET"]),
                Route("/", self, methods=["GET", "POST", "HEAD"]),
            ],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, from its head to the last byte of its answer."""
        request = Request(scope, receive)
        query_id = str(uuid.uuid4())
        try:
            query_id = query_id_of(request) or query_id
            account = account_of(request, self._accounts)
            body = await body_of(request, READER_BYTES if account.read_only else WRITER_BYTES)
            async with self.slots.taken(account):
                response = await self._answer(request, body, account)
                response.headers["X-ClickHouse-Query-Id"] = query_id
                await _sent(response, scope, receive, send)
        except ForbiddenError as error:
            await _failed(refused(READONLY, f"{error} (READONLY)"), query_id)(scope, receive, send)
        except EngineError as error:
            await _failed(error, query_id)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _answer(self, request: Request, body: bytes, account: Account) -> Response:
        gone = asyncio.ensure_future(client_left(request.receive))
        try:
            return await self._runner.run(lambda mark: self._work(request, body, account, mark), gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    def _work(self, request: Request, body: bytes, account: Account, mark: str) -> Response:
        """In a thread. Raises EngineError, ForbiddenError."""
        statement = statement_of(request, body, read_only=account.read_only)
        if not statement.raw.strip():
            return _answered(statement, StatementResult(), b"Ok.\n", "")
        if statement.read_only:
            sql = statement.raw.decode("utf-8", "replace")
            check_read(sql, statement.parameters)
            check_formats(sql, statement.default_format)
        return make(statement, lambda limited: self._made(limited, request, mark), self._large)

    def _made(self, statement: Statement, request: Request, mark: str) -> Response:
        answer = self._engine.run(statement, mark)
        return _answered(statement, answer, *compressed(answer.body, request))


async def serve(facade: Facade, host: str, port: int) -> None:
    """Listen until cancelled; running queries get a moment to end. Raises ListenError."""
    await serve_http(facade.app(), listen(host, port, "ROPEWALK_MONITOR_PORT"), grace_s=2)


async def _ok(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


async def _sent(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Hand the answer over, as fast as the client takes it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TAKING_S):
            await response(scope, receive, send)


def _answered(statement: Statement, answer: StatementResult, body: bytes, encoding: str) -> Response:
    """`body` is that of the answer, encoded as the client wants it."""
    fmt = output_format(statement.raw[-PIECE_BYTES:].decode("utf-8", "replace"), statement.default_format)
    summary = {
        "read_rows": str(answer.rows_read),
        "read_bytes": str(answer.bytes_read),
        "written_rows": str(answer.rows_written),
        "elapsed_ns": str(int(answer.elapsed_s * 1e9)),
    }
    headers = {
        "X-ClickHouse-Summary": json.dumps(summary),
        "X-ClickHouse-Format": fmt if fmt.isascii() else "",
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": "ropewalk",
        "Content-Length": str(len(body)),
    }
    if encoding:
        headers["Content-Encoding"] = encoding
    return StreamingResponse(pieces(kept(body)), headers=headers, media_type=_content_type(fmt))


def _content_type(fmt: str) -> str:
    kind = next((kind for beginning, kind in _CONTENT_TYPES.items() if fmt.startswith(beginning)), None)
    return f"{kind}; charset=UTF-8" if kind else "application/octet-stream"


def _failed(error: EngineError, query_id: str) -> Response:
    headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
    if error.code in (REQUIRED_PASSWORD, AUTHENTICATION_FAILED):
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return PlainTextResponse(f"{error}\n", status_code=_STATUS.get(error.code, 500), headers=headers)
