"""From an HTTP request as ClickHouse's clients send it to a statement: who asks, what, with which settings.

Only the raw bytes are read in the event loop. Whatever costs time with their number (decompressing, parsing, scanning)
is `statement_of`, which blocks and is called in a thread.

https://clickhouse.com/docs/interfaces/http
"""

import base64
import gzip
import re
from urllib.parse import parse_qsl

import lz4.frame  # type: ignore[import-untyped]  # the package has no types
import zstandard
from starlette.requests import Request

from ropewalk.events.foreign import quoted
from ropewalk.monitor.adapters.decompression import decompressed
from ropewalk.monitor.adapters.embedded import BAD_ARGUMENTS, NOT_IMPLEMENTED, Statement, refused

READER_BYTES = 4 * 1024**2  # a question with its parameters
WRITER_BYTES = 256 * 1024**2  # rows
_MAX_FIELDS = 1_000
_FORMAT = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_QUERY_ID = re.compile(r"[\w.:/@+-]{1,128}", re.ASCII)
_BOUNDARY = re.compile(r'boundary="?([^";]{1,200})')
_FIELD = re.compile(rb'content-disposition:[^\r\n]*?\bname="([^"\r\n]{1,200})"([^\r\n]*)', re.IGNORECASE)
# parameters that speak to the transport, not to the engine
_TRANSPORT = {
    "query", "database", "default_format", "user", "password", "quota_key", "query_id", "session_id", "session_timeout",
    "session_check", "session_timezone", "wait_end_of_query", "buffer_size", "client_protocol_version", "role",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms", "enable_http_compression", "compress",
    "decompress", "readonly", "stacktrace", "add_http_cors_header", "http_write_exception_in_output_format",
    "log_comment",
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
        except ValueError:
            return "", ""
        return user, password
    if scheme.lower() == "bearer":
        return "", value
    return query.get("user", ""), query.get("password", "")


def query_id_of(request: Request) -> str:
    """What the client calls its request; empty if it does not. Raises EngineError: it comes back in a header."""
    given = request.query_params.get("query_id", "")
    if given and not _QUERY_ID.fullmatch(given):
        raise refused(BAD_ARGUMENTS, f"query_id has at most 128 letters, digits and signs, not {quoted(given)}")
    return given


async def body_of(request: Request, limit: int) -> bytes:
    """The body as it came. Raises EngineError for more than `limit` bytes, as soon as they are announced or here."""
    too_long = refused(BAD_ARGUMENTS, f"a body may have {limit:,} bytes: send what you have in several requests")
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_long
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise too_long
    return b"".join(chunks)


def statement_of(request: Request, sent: bytes, *, read_only: bool) -> Statement:
    """`sent` is the body as it came. Blocking. Raises EngineError for what cannot be understood."""
    headers, limit = request.headers, READER_BYTES if read_only else WRITER_BYTES
    form, body = _form(headers.get("content-type", ""), decompressed(sent, headers.get("content-encoding", ""), limit))
    values = dict(request.query_params) | form
    if values.get("compress") == "1" or values.get("decompress") == "1":
        raise refused(NOT_IMPLEMENTED, "the native block compression is not served: use Content-Encoding")
    plain = {name: value for name, value in values.items() if not name.startswith("param_")}
    sql = values.get("query", "").encode("utf-8", "replace")
    return Statement(
        raw=sql + b"\n" + body if sql and body else sql or body,
        default_format=_format(values.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"),
        database=values.get("database") or headers.get("x-clickhouse-database") or "ropewalk",
        parameters={name[6:]: value for name, value in values.items() if name.startswith("param_")},
        settings={name: value for name, value in plain.items() if name not in _TRANSPORT},
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


def _format(name: str) -> str:
    if not _FORMAT.fullmatch(name):
        raise refused(BAD_ARGUMENTS, f"{quoted(name)} is no name of a format: use JSON or CSV, say")
    return name


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """Fields of a form, which is how clients send a statement too long for the URL."""
    if content_type.startswith("application/x-www-form-urlencoded") and body.startswith((b"query=", b"param_")):
        try:
            fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except ValueError as error:
            raise refused(BAD_ARGUMENTS, f"the form cannot be read: {error}") from None
        return dict(fields), b""
    if content_type.startswith("multipart/form-data"):
        return _parts(content_type, body), b""
    return {}, body


def _parts(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a multipart form. It is split flat: forms within forms are no fields."""
    boundary = _BOUNDARY.search(content_type)
    pieces = body.split(b"--" + boundary.group(1).encode(), _MAX_FIELDS)[1:] if boundary else []
    fields: dict[str, str] = {}
    for piece in pieces:
        head, blank, content = piece.partition(b"\r\n\r\n")
        named = _FIELD.search(head)
        if not blank or named is None:
            continue
        if b"filename" in named.group(2).lower():
            raise refused(NOT_IMPLEMENTED, "external tables are not served")
        fields[named.group(1).decode("utf-8", "replace")] = content.removesuffix(b"\r\n").decode("utf-8", "replace")
    return fields
