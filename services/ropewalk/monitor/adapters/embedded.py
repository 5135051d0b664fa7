"""The engine in this process, for the HTTP interface: one fresh handle per request, as a session of its own.

Settings of one request cannot leak into another, and a reader's handle is put into the engine's read-only mode.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import chdb

from ropewalk.monitor.domain.statements import split_insert

_CODE = re.compile(r"Code: (\d+)\.")
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
UNKNOWN_SETTING = 115


class EngineError(Exception):
    """The engine refused a statement. `code` is ClickHouse's number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


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
class Answer:
    """What came of it."""

    body: bytes = b""
    rows_read: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    elapsed_s: float = 0.0


class Engine:
    """Runs statements on the engine that `open_embedded` has opened. Blocking; any number of threads may call it."""

    def __init__(self, address: str, query_seconds: int) -> None:
        self._address = address
        self._limits = {"max_execution_time": str(query_seconds), "max_result_bytes": str(256 * 1024**2)}

    def run(self, statement: Statement) -> Answer:
        """Raises EngineError."""
        try:
            handle = chdb.connect(self._address)
            try:
                self._prepare(handle, statement)
                return _insert(handle, statement) or _query(handle, statement)
            finally:
                handle.close()
        except RuntimeError as error:
            raise _engine_error(str(error)) from None

    def _prepare(self, handle: Any, statement: Statement) -> None:
        settings = self._limits | dict(statement.settings)
        if statement.read_only:
            settings["readonly"] = "1"  # last, as nothing can be set after it
        handle.query(f"USE {_quoted(statement.database, '`')}")
        for name, value in settings.items():
            if not _SETTING_NAME.fullmatch(name):
                raise EngineError(UNKNOWN_SETTING, f"Code: {UNKNOWN_SETTING}. DB::Exception: Unknown setting {name!r}")
            handle.query(f"SET {name} = {_quoted(value)}")


def _insert(handle: Any, statement: Statement) -> Answer | None:
    parts = split_insert(statement.raw)
    if parts is None or statement.read_only:
        return None
    sql, data_format, data = parts
    inserter = handle.send_insert(sql, data_format)
    if data:
        inserter.append(data)
    return Answer(rows_written=inserter.finish().rows_written)


def _query(handle: Any, statement: Statement) -> Answer:
    sql = statement.raw.decode("utf-8", "replace")
    result = handle.query(sql, statement.default_format, params=dict(statement.parameters))
    return Answer(
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
