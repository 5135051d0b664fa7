"""The engine in this process, for the HTTP interface: one fresh handle per request, as a session of its own.

Settings of one request cannot leak into another, a reader's handle is put into the engine's read-only mode, and the
limits of the interface hold for everybody.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ropewalk.events.foreign import one_line, quoted
from ropewalk.monitor.domain.allowed import limited
from ropewalk.monitor.domain.statements import split_insert
from ropewalk.monitor.errors import AnalyticsError

_CODE = re.compile(r"Code: (\d+)\.")
_KIND = re.compile(r"\(([A-Z_]{3,64})\)")
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
BAD_ARGUMENTS, NOT_IMPLEMENTED, UNKNOWN_SETTING = 36, 48, 115  # ClickHouse's numbers
_RESULT_BYTES = 128 * 1024**2  # an answer is made in memory, whole
_MARK_SETTING = "log_comment"  # by which a running statement is found again
_TEXT_LIMIT = 600  # an error of the engine may quote what it has read, at any length
_SLOT_SHARE = 4  # of the engine's memory: what one statement may use


class EngineError(AnalyticsError):
    """The engine refused a statement. `code` is ClickHouse's number; the text is cut, and on one line."""

    def __init__(self, code: int, text: str) -> None:
        kinds = _KIND.findall(text[-4_000:])
        shown = one_line(text, _TEXT_LIMIT)
        super().__init__(shown if not kinds or kinds[-1] in shown else f"{shown} ({kinds[-1]})")
        self.code = code


def refused(code: int, sentence: str) -> EngineError:
    """What is refused before the engine sees it, in the engine's own form."""
    return EngineError(code, f"Code: {code}. DB::Exception: {sentence}")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What to run. `raw` is the SQL, for an INSERT followed by its data."""

    raw: bytes
    default_format: str = "TabSeparated"
    database: str = "ropewalk"
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = True


@dataclass(frozen=True, kw_only=True)
class StatementResult:
    """What came of it."""

    body: bytes = b""
    rows_read: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    elapsed_s: float = 0.0


def ceilings(query_seconds: float, memory_mb: int) -> dict[str, float]:
    """What a statement may use at most, by setting; `memory_mb` is what all statements of an engine may."""
    return {
        "max_execution_time": query_seconds,
        "max_result_bytes": _RESULT_BYTES,
        "max_memory_usage": memory_mb * 1024**2 // _SLOT_SHARE,
    }


class EmbeddedEngine:
    """Runs statements on the engine that `open_embedded` has opened. Blocking; any number of threads may call it."""

    def __init__(self, address: str, query_seconds: float, memory_mb: int = 1024) -> None:
        self.query_seconds = query_seconds
        self._address = address
        self._ceilings = ceilings(query_seconds, memory_mb)

    def run(self, statement: Statement, mark: str = "") -> StatementResult:
        """`kill(mark)` ends it from another thread. Raises EngineError, ForbiddenError."""
        settings = limited(statement.settings, self._ceilings, reader=statement.read_only)
        try:
            handle = self._connected()
            try:
                _prepare(handle, statement, settings | {_MARK_SETTING: mark})
                return _insert(handle, statement) or _query(handle, statement)
            finally:
                handle.close()
        except RuntimeError as error:
            raise _engine_error(str(error)) from None

    def kill(self, mark: str) -> None:
        """Have the engine give up a statement that runs. Nothing happens if it does not run (yet, or any more)."""
        handle = self._connected()
        try:
            handle.query(f"KILL QUERY WHERE Settings['{_MARK_SETTING}'] = {_quoted(mark)} ASYNC")
        finally:
            handle.close()

    def _connected(self) -> Any:
        import chdb  # half a gigabyte, which a monitor that writes to a server has not

        return chdb.connect(self._address)


def _prepare(handle: Any, statement: Statement, settings: Mapping[str, str]) -> None:
    handle.query(f"USE {_quoted(statement.database, '`')}")
    for name, value in settings.items():
        if not _SETTING_NAME.fullmatch(name):
            raise refused(UNKNOWN_SETTING, f"Unknown setting {quoted(name)}")
        handle.query(f"SET {name} = {_quoted(value)}")
    if statement.read_only:
        handle.query("SET readonly = 1")  # last, as nothing can be set after it


def _insert(handle: Any, statement: Statement) -> StatementResult | None:
    parts = split_insert(statement.raw)
    if parts is None or statement.read_only:
        return None
    sql, data_format, data = parts
    inserter = handle.send_insert(sql, data_format)
    if data:
        inserter.append(data)
    return StatementResult(rows_written=inserter.finish().rows_written)


def _query(handle: Any, statement: Statement) -> StatementResult:
    sql = statement.raw.decode("utf-8", "replace")
    result = handle.query(sql, statement.default_format, params=dict(statement.parameters))
    return StatementResult(
        body=result.bytes(),
        rows_read=result.rows_read(),
        rows_written=result.rows_written(),
        bytes_read=result.bytes_read(),
        elapsed_s=result.elapsed(),
    )


def _engine_error(text: str) -> EngineError:
    start = max(text.find("Code: "), 0)
    found = _CODE.search(text)
    return EngineError(int(found.group(1)) if found else 1000, text[start:].strip())


def _quoted(text: str, sign: str = "'") -> str:
    escaped = text.replace("\\", "\\\\").replace(sign, "\\" + sign)
    return f"{sign}{escaped}{sign}"
