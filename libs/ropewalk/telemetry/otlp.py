"""OpenTelemetry's SDK, set up to send the spans and metrics of one service over OTLP/HTTP.

Imported only when an endpoint is set. Registers nothing globally: two exports in one process do not meet.
"""

from collections.abc import Callable
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Tracer

from ropewalk.telemetry.spans import trace_id_of_run

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
METRIC_INTERVAL_S = 15.0  # an alarm that looks every minute sees four points
EXPORT_TIMEOUT_S = 2.0  # retries included; also what a collector that is away may cost at the end of a service


class _TraceIds(RandomIdGenerator):
    """Random ids, except that the root span of a run takes the run's trace id."""

    def generate_trace_id(self) -> int:
        return trace_id_of_run() or super().generate_trace_id()


def export_through(
    service_name: str, processor: SpanProcessor, reader: MetricReader
) -> tuple[Tracer, Meter, Callable[[], None]]:
    """What spans and measurements of a service are begun with, and what sends the rest and stops both threads."""
    resource = Resource.create(
        {"service.name": service_name, "service.namespace": "ropewalk", "service.version": version("ropewalk")}
    )
    traces = TracerProvider(resource=resource, id_generator=_TraceIds())
    traces.add_span_processor(processor)
    meters = MeterProvider(metric_readers=[reader], resource=resource)

    def end() -> None:
        traces.shutdown()
        meters.shutdown()

    tracer = traces.get_tracer("ropewalk", schema_url=SCHEMA_URL)
    return tracer, meters.get_meter("ropewalk", schema_url=SCHEMA_URL), end


def otlp(service_name: str, endpoint: str) -> tuple[Tracer, Meter, Callable[[], None]]:
    """As `export_through`, to the collector at `endpoint`, the URL without `/v1/traces`."""
    base = endpoint.rstrip("/")
    return export_through(
        service_name,
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=EXPORT_TIMEOUT_S)),
        PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=EXPORT_TIMEOUT_S),
            export_interval_millis=METRIC_INTERVAL_S * 1000,
        ),
    )
