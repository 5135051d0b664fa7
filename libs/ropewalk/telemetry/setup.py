"""Starts the export of a process, if its settings name a collector."""

from ropewalk.telemetry.settings import TelemetrySettings
from ropewalk.telemetry.spans import install


def configure(service_name: str, settings: TelemetrySettings) -> None:
    """Export to `settings.otlp_endpoint` (OTLP over HTTP, for example http://127.0.0.1:4318) if it is set."""
    if settings.otlp_endpoint:
        from ropewalk.telemetry.otlp import otlp_exporter  # the SDK costs 20 MB and threads; most runs do without

        install(otlp_exporter(service_name, settings.otlp_endpoint))
