"""From an HTTP request as ClickHouse's clients send it to a statement: who asks, what, with which settings.

https://clickhouse.com/docs/interfaces/http
"""

import base64
import binascii
import email.parser
import email.policy
import gzip
import zlib
from collections.abc import Mapping
from urllib.parse import parse_qsl

import lz4.frame  # type: ignore[import-untyped]  # the package has no types
import zstandard
from starlette.requests import Request

from ropewalk.monitor.adapters.embedded import EngineError, Statement

NOT_IMPLEMENTED = 48
BAD_ARGUMENTS = 36
_MAX_BODY_BYTES = 256 * 1024**2
# parameters that speak to the transport, not to the engine
_TRANSPORT = {
    "query", "database", "default_format", "user", "password", "quota_key", "query_id", "session_id", "session_timeout",
    "session_check", "session_timezone", "wait_end_of_query", "buffer_size", "client_protocol_version", "role",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms", "enable_http_compression", "compress",
    "decompress", "readonly", "stacktrace", "add_http_cors_header", "http_write_exception_in_output_format",
}  # fmt: skip


def credentials(request: Request) -> tuple[str, str]:
    """User and password: from X-ClickHouse-User and -Key, basic or bearer authorization, or the URL."""
    headers, query = request.headers, request.query_params
    if "x-clickhouse-key" in headers or "x-clickhouse-user" in headers:
        return headers.get("x-clickhouse-user", ""), headers.get("x-clickhouse-key", "")
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    if scheme.lower() == "bearer":
        return "", value
    return query.get("user", ""), query.get("password", "")


async def statement_of(request: Request, *, read_only: bool) -> Statement:
    """Raises EngineError for what cannot be understood."""
    values = dict(request.query_params)
    body = _decompressed(await _body(request), request.headers.get("content-encoding", ""))
    form, body = _form(request.headers.get("content-type", ""), body)
    values |= form
    if values.get("compress") == "1" or values.get("decompress") == "1":
        raise _error(NOT_IMPLEMENTED, "the native block compression is not served: use Content-Encoding")
    sql = values.get("query", "").encode()
    return Statement(
        raw=sql + b"\n" + body if sql and body else sql or body,
        default_format=values.get("default_format") or request.headers.get("x-clickhouse-format") or "TabSeparated",
        database=values.get("database") or request.headers.get("x-clickhouse-database") or "ropewalk",
        parameters={name[6:]: value for name, value in values.items() if name.startswith("param_")},
        settings=_settings(values),
        read_only=read_only or request.method != "POST",
    )


def compressed(body: bytes, request: Request) -> tuple[bytes, str]:
    """The body as the client wants it, and the name of the encoding; only if it asked by enable_http_compression."""
    accepted = request.headers.get("accept-encoding", "")
    if request.query_params.get("enable_http_compression", "0") in ("0", "") or len(body) < 512:
        return body, ""
    if "lz4" in accepted:
        return lz4.frame.compress(body), "lz4"
    if "zstd" in accepted:
        return zstandard.compress(body), "zstd"
    return (gzip.compress(body, 1), "gzip") if "gzip" in accepted else (body, "")


def _settings(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in _TRANSPORT and not name.startswith("param_")}


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            raise _error(BAD_ARGUMENTS, f"a body may have {_MAX_BODY_BYTES} bytes: send the rows in several inserts")
    return b"".join(chunks)


def _decompressed(body: bytes, encoding: str) -> bytes:
    try:
        match encoding:
            case "" | "identity":
                return body
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case "lz4":
                return bytes(lz4.frame.decompress(body))
            case "zstd":
                return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError) as error:
        raise _error(BAD_ARGUMENTS, f"the body is not {encoding}: {error}") from None
    raise _error(NOT_IMPLEMENTED, f"Content-Encoding {encoding!r} is not served: use gzip, deflate, lz4 or zstd")


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """Fields of a form, which is how clients send a statement too long for the URL."""
    if content_type.startswith("application/x-www-form-urlencoded") and body.startswith((b"query=", b"param_")):
        return dict(parse_qsl(body.decode(), keep_blank_values=True)), b""
    if not content_type.startswith("multipart/form-data"):
        return {}, body
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    fields = {}
    for part in email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body).iter_parts():
        if part.get_filename():
            raise _error(NOT_IMPLEMENTED, "external tables are not served")
        payload = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = payload.decode() if isinstance(payload, bytes) else ""
    return fields, b""


def _error(code: int, text: str) -> EngineError:
    return EngineError(code, f"Code: {code}. DB::Exception: {text}")
