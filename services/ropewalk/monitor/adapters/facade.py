"""ClickHouse's HTTP interface over the engine in this process, for clickhouse-connect, curl and dashboards.

Not served: sessions (temporary tables), external tables, native block compression.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
import uvicorn
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ropewalk.monitor.adapters.embedded import Answer, Engine, EngineError, Statement
from ropewalk.monitor.adapters.http_request import compressed, credentials, statement_of
from ropewalk.monitor.domain.statements import ForbiddenError, check_read, output_format

logger = logging.getLogger(__name__)

READONLY, AUTHENTICATION_FAILED, REQUIRED_PASSWORD = 164, 516, 194
_NOT_FOUND = {46, 47, 50, 56, 60, 73, 81, 115}
_BAD_REQUEST = {6, 26, 27, 36, 38, 41, 42, 43, 53, 62, 69, 70, 72, 117, 130, 131, 184, 386, 403, 456, 457}
_STATUS = (
    dict.fromkeys(_NOT_FOUND, 404)
    | dict.fromkeys(_BAD_REQUEST, 400)
    | {READONLY: 403, AUTHENTICATION_FAILED: 403, REQUIRED_PASSWORD: 401, 48: 501, 159: 408, 202: 503}
)
_CONTENT_TYPES = {"JSON": "application/json; charset=UTF-8", "CSV": "text/csv; charset=UTF-8"}
_MAX_QUERIES = 4
_OWN_NAMES = ["127.0.0.1", "localhost"]


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who may come in. An empty password lets `default` in, and nobody else."""

    user: str
    password: str
    read_only: bool = True


class Facade:
    """The routes."""

    def __init__(self, engine: Engine, accounts: tuple[Account, ...]) -> None:
        self._engine = engine
        self._accounts = accounts
        self._limiter = CapacityLimiter(_MAX_QUERIES)

    def app(self) -> Starlette:
        """The ASGI application. Who lets anonymous readers in must be asked by its own name, or a web page whose
        name was bound to this address could read along."""
        open_to_all = any(not account.password for account in self._accounts)
        return Starlette(
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_OWN_NAMES)] if open_to_all else [],
            routes=[
                Route("/ping", _ok, methods=["GET", "HEAD"]),
                Route("/replicas_status", _ok, methods=["GET"]),
                Route("/", self._query, methods=["GET", "POST", "HEAD"]),
            ],
        )

    def account_of(self, request: Request) -> Account:
        """Raises EngineError for a stranger. A bearer token or a key alone is enough."""
        user, password = credentials(request)
        for account in self._accounts:
            if user in (account.user, "") and _same(password, account.password) and (user or password):
                return account
            if account.user == "default" and user in ("default", "") and not password and not account.password:
                return account
        code = AUTHENTICATION_FAILED if user or password else REQUIRED_PASSWORD
        shown = user or "default"
        raise EngineError(
            code,
            f"Code: {code}. DB::Exception: {shown}: Authentication failed: password is incorrect, or there is no user "
            f"with such name. (AUTHENTICATION_FAILED)",
        )

    async def _query(self, request: Request) -> Response:
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            account = self.account_of(request)
            statement = await statement_of(request, read_only=account.read_only)
            if not statement.raw.strip():
                return PlainTextResponse("Ok.\n")
            sql = statement.raw.decode("utf-8", "replace")
            if statement.read_only:
                check_read(sql, statement.parameters)
            answer = await anyio.to_thread.run_sync(self._engine.run, statement, limiter=self._limiter)
        except ForbiddenError as error:
            return _failed(EngineError(READONLY, f"Code: {READONLY}. DB::Exception: {error} (READONLY)"), query_id)
        except EngineError as error:
            return _failed(error, query_id)
        return _answered(request, statement, answer, query_id)


class PortTakenError(OSError):
    """Somebody else listens where the interface should."""


class _Server(uvicorn.Server):
    """uvicorn wakes ten times a second to see whether it should end; this one is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ended.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the service."""
        yield


async def serve(facade: Facade, host: str, port: int) -> None:
    """Listen until cancelled; running queries get a moment to end. Raises PortTakenError."""
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise PortTakenError(f"cannot listen on {host}:{port} ({error}): set ROPEWALK_MONITOR_PORT") from None
    config = uvicorn.Config(
        facade.app(),
        log_config=None,
        log_level="warning",
        access_log=False,
        date_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(task)
    finally:
        server.ended.set()
        await task


async def _ok(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


def _answered(request: Request, statement: Statement, answer: Answer, query_id: str) -> Response:
    body, encoding = compressed(answer.body, request)
    fmt = output_format(statement.raw.decode("utf-8", "replace"), statement.default_format)
    summary = {
        "read_rows": str(answer.rows_read),
        "read_bytes": str(answer.bytes_read),
        "written_rows": str(answer.rows_written),
        "elapsed_ns": str(int(answer.elapsed_s * 1e9)),
    }
    headers = {
        "X-ClickHouse-Summary": json.dumps(summary),
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Format": fmt,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": "ropewalk",
    }
    if encoding:
        headers["Content-Encoding"] = encoding
    return Response(body, headers=headers, media_type=_content_type(fmt))


def _content_type(fmt: str) -> str:
    if fmt.startswith(("JSON", "CSV")):
        return _CONTENT_TYPES["JSON" if fmt.startswith("JSON") else "CSV"]
    return "text/tab-separated-values; charset=UTF-8" if fmt.startswith(("Tab", "TSV")) else "application/octet-stream"


def _failed(error: EngineError, query_id: str) -> Response:
    headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
    if error.code in (REQUIRED_PASSWORD, AUTHENTICATION_FAILED):
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return PlainTextResponse(f"{error}\n", status_code=_STATUS.get(error.code, 500), headers=headers)


def _same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())
