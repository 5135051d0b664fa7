"""Traces as the collector's `file` exporter writes them: one OTLP/JSON request per line, rotated by size."""

import base64
import json
import os
import threading
from typing import Any, Self

from google.protobuf.json_format import MessageToDict

IDS = ("traceId", "spanId", "parentSpanId")


def otlp_json(request: Any) -> dict[str, Any]:
    """OTLP's JSON of a request: protobuf's, except that ids are hexadecimal and enumerations numbers."""
    return _hexadecimal(MessageToDict(request, use_integers_for_enums=True))


def _hexadecimal(value: Any) -> Any:
    if isinstance(value, list):
        return [_hexadecimal(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex() if key in IDS and isinstance(item, str) else _hexadecimal(item)
        for key, item in value.items()
    }


class TraceFile:
    """Appends to a file; at `max_bytes` it becomes a backup, of which `num_backups` stay."""

    def __init__(self, path: str, max_bytes: int, num_backups: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._num_backups = num_backups
        self._lock = threading.Lock()
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (open until rotated)

    @classmethod
    def of(cls, exporter: dict[str, Any]) -> Self:
        """The file of an exporter's part of the configuration."""
        rotation = exporter.get("rotation", {})
        return cls(exporter["path"], rotation.get("max_megabytes", 100) * 2**20, rotation.get("max_backups", 1))

    def write(self, request: Any) -> None:
        """Append one request."""
        line = json.dumps(otlp_json(request), separators=(",", ":"))
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()
            if self._file.tell() > self._max_bytes:
                self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._num_backups - 1, 0, -1):
            if os.path.exists(f"{self._path}.{number}"):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        if self._num_backups:
            os.replace(self._path, f"{self._path}.1")
        self._file = open(self._path, "w", encoding="utf-8")  # noqa: SIM115 (open until rotated)
