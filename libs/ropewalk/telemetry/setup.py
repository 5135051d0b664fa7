"""Starts and ends the export of spans and measurements, if the settings of a process name a collector."""

from collections.abc import Callable

from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.trace import NoOpTracer, Tracer

from ropewalk.telemetry.metrics import measure_with
from ropewalk.telemetry.settings import TelemetrySettings
from ropewalk.telemetry.spans import trace_with

_end: Callable[[], None] | None = None


def configure(service_name: str, settings: TelemetrySettings, instance: str = "") -> None:
    """Export to `settings.otlp_endpoint` (OTLP over HTTP, for example http://127.0.0.1:4318) if it is set.

    `instance` tells processes of one service apart; by default it is made up.
    """
    if settings.otlp_endpoint:
        from ropewalk.telemetry.otlp import otlp  # the SDK costs 20 MB and threads; most runs do without

        install(*otlp(service_name, settings.otlp_endpoint, instance))


def install(tracer: Tracer, meter: Meter, end: Callable[[], None] | None) -> None:
    """Send spans and measurements there from now on. `end` sends what is left and stops."""
    global _end
    shutdown()
    trace_with(tracer)
    measure_with(meter)
    _end = end


def shutdown() -> None:
    """Send what is left and stop. Spans begun afterwards only pass the context on."""
    global _end
    trace_with(NoOpTracer())
    measure_with(NoOpMeter("ropewalk"))
    if _end is not None:
        _end()
    _end = None
