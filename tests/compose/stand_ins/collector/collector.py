"""A stand-in for the OpenTelemetry collector where its image cannot be had. It is not the collector.

It reads the same configuration file and does what ours asks for: takes OTLP over HTTP (protobuf, gzip), writes traces
as the `file` exporter does, shows metrics as the `prometheus` exporter does and answers as `health_check` does. What
it does not know in a configuration ends it with a sentence. It batches nothing and limits memory by its own bounds.
"""

import argparse
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any
from zlib import MAX_WBITS, decompressobj
from zlib import error as ZlibError

import yaml
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_text import Series
from trace_file import TraceFile

MAX_BODY_BYTES = 20 * 2**20  # as the real receiver, after decompression
KNOWN = {
    "receivers": {"otlp"},
    "processors": {"memory_limiter", "batch"},
    "exporters": {"prometheus", "file", "debug"},
    "extensions": {"health_check"},
}
KINDS = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


class ConfigurationError(Exception):
    """A configuration that this stand-in or the real collector would refuse."""


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration, if every part is known and every pipeline names parts that are there."""
    for section, known in KNOWN.items():
        for name in config.get(section) or {}:
            if name.partition("/")[0] not in known:
                raise ConfigurationError(f"{section}: the stand-in does not know {name!r} (it knows {sorted(known)})")
    service = config["service"]
    used = [("extensions", name) for name in service.get("extensions", [])]
    for pipeline, parts in service["pipelines"].items():
        if pipeline.partition("/")[0] not in ("traces", "metrics", "logs"):
            raise ConfigurationError(f"service::pipelines: unknown signal {pipeline!r}")
        used += [(section, name) for section, names in parts.items() for name in names]
    for section, name in used:
        if name not in (config.get(section) or {}):
            raise ConfigurationError(f"service names {section[:-1]} {name!r}, which is not configured")
    return config


def address(endpoint: str) -> tuple[str, int]:
    """Host and port of `0.0.0.0:4318`."""
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


class Pages(BaseHTTPRequestHandler):
    """Answers GET from a table of pages; a page gives its text and type."""

    pages: Mapping[str, Any] = MappingProxyType({})
    timeout = 30

    def do_GET(self) -> None:
        page = self.pages.get(self.path)
        self.answer(200, *page()) if page else self.answer(404, "not found\n")

    def answer(self, status: int, text: str = "", kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: every service sends several times a minute."""


def ready() -> tuple[str, str]:
    """The page of `health_check`."""
    return '{"status":"Server available","stand_in":true}', "application/json"


class Receiver(Pages):
    """OTLP over HTTP."""

    protocol_version = "HTTP/1.1"
    sinks: Mapping[str, Any] = MappingProxyType({})

    def do_POST(self) -> None:
        kind = KINDS.get(self.path)
        size = int(self.headers.get("content-length") or 0)
        if kind is None or not 0 <= size <= MAX_BODY_BYTES:
            self.close_connection = True  # the body stays unread
            self.answer(404 if kind is None else 413)
            return
        try:
            request = kind.FromString(self.unpacked(self.rfile.read(size)))
        except (DecodeError, ZlibError, ValueError):
            self.answer(400, "no OTLP protobuf\n")
            return
        if self.path in self.sinks:
            self.sinks[self.path](request)
        self.answer(200, kind="application/x-protobuf")

    def unpacked(self, body: bytes) -> bytes:
        """The body without its compression. Raises ValueError when it is larger than is allowed."""
        if self.headers.get("content-encoding") != "gzip":
            return body
        inflate = decompressobj(MAX_WBITS | 16)
        whole = inflate.decompress(body, MAX_BODY_BYTES)
        if inflate.unconsumed_tail:
            raise ValueError("too large")
        return whole


def serve(endpoint: str, handler: type[Pages], **of_class: Any) -> None:
    """Serve on a thread of its own until the process ends."""
    server = ThreadingHTTPServer(address(endpoint), type(handler.__name__, (handler,), of_class))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def start(config: dict[str, Any]) -> None:
    """Serve what the configuration names."""
    exporters, pipelines = config["exporters"], config["service"]["pipelines"]
    sinks: dict[str, Any] = {}
    for signal, parts in pipelines.items():
        for name in parts["exporters"]:
            if name.startswith("file") and signal.startswith("traces"):
                sinks["/v1/traces"] = TraceFile.of(exporters[name]).write
            if name.startswith("prometheus"):
                series = Series(exporters[name].get("metric_expiration", "5m"))
                sinks["/v1/metrics"] = series.take
                serve(exporters[name]["endpoint"], Pages, pages={"/metrics": series.page})
    serve(config["receivers"]["otlp"]["protocols"]["http"]["endpoint"], Receiver, sinks=sinks)
    for name in config["service"].get("extensions", []):
        endpoint = config["extensions"][name]["endpoint"]
        serve(endpoint, Pages, pages={"/": ready})


def main() -> None:
    """Serve until the process is ended. Exits with 1 on a configuration that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="/etc/otelcol-contrib/config.yaml")
    path = parser.parse_args().config.removeprefix("file:")
    try:
        with open(path) as file:
            config = checked(yaml.safe_load(file))
        start(config)
    except (ConfigurationError, OSError, KeyError, TypeError) as error:
        sys.exit(f"Error: {type(error).__name__}: {error}")
    sys.stderr.write("a stand-in for the OpenTelemetry collector: everything is ready\n")
    threading.Event().wait()


if __name__ == "__main__":
    main()
