"""OpenTelemetry's SDK, set up to send the spans and metrics of one service over OTLP/HTTP.

Imported only when an endpoint is set. Registers nothing globally: two exports in one process do not meet.
"""

from collections.abc import Callable
from importlib.metadata import version
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Tracer

from ropewalk.telemetry.spans import chosen_trace_id

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
METRIC_INTERVAL_S = 15.0  # an alarm that looks every minute sees four points
SPAN_DELAY_S = 1.0  # what a process that is killed may lose
SPAN_LIMITS = SpanLimits(
    max_span_attributes=32, max_span_attribute_length=200, max_links=8, max_events=0, max_link_attributes=0
)
EXPORT_TIMEOUT_S = 2.0  # retries included; also what a collector that is away may cost at the end of a service


class _TraceIds(RandomIdGenerator):
    """Random ids, except that the root span of a run takes the run's trace id."""

    def generate_trace_id(self) -> int:
        return chosen_trace_id() or super().generate_trace_id()


def export_through(
    service_name: str, processor: SpanProcessor, reader: MetricReader, instance: str = ""
) -> tuple[Tracer, Meter, Callable[[], None]]:
    """What spans and measurements of a service are begun with, and what sends the rest and stops both threads."""
    resource = Resource.create(
        {
            "service.name": service_name,
            "service.namespace": "ropewalk",
            "service.version": version("ropewalk"),
            "service.instance.id": instance or uuid4().hex,
        }
    )
    traces = TracerProvider(resource=resource, id_generator=_TraceIds(), span_limits=SPAN_LIMITS)
    traces.add_span_processor(processor)
    meters = MeterProvider(metric_readers=[reader], resource=resource)

    def end() -> None:
        traces.shutdown()
        meters.shutdown()

    tracer = traces.get_tracer("ropewalk", schema_url=SCHEMA_URL)
    return tracer, meters.get_meter("ropewalk", schema_url=SCHEMA_URL), end


def otlp(service_name: str, endpoint: str, instance: str = "") -> tuple[Tracer, Meter, Callable[[], None]]:
    """As `export_through`, to the collector at `endpoint`, the URL without `/v1/traces`."""
    base = endpoint.rstrip("/")
    return export_through(
        service_name,
        BatchSpanProcessor(
            OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=EXPORT_TIMEOUT_S),
            schedule_delay_millis=SPAN_DELAY_S * 1000,
        ),
        PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=EXPORT_TIMEOUT_S),
            export_interval_millis=METRIC_INTERVAL_S * 1000,
        ),
        instance,
    )
