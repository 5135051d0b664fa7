"""The exporting half of `telemetry`: OpenTelemetry's SDK, spans and metrics over OTLP/HTTP.

Imported only when an endpoint is set. Registers nothing globally: two exporters in one process do not meet.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from ropewalk.telemetry.spans import AttributeValue, SpanKind

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
METRIC_INTERVAL_S = 15.0
EXPORT_TIMEOUT_S = 2.0  # retries included; also what a collector that is away may cost at the end of a service

# Bucket bounds from the gen_ai conventions; the SDK's own are for milliseconds.
_REQUEST_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(float(4**exponent) for exponent in range(14))
_STAGE_S = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0)
_BUCKETS = {
    "ropewalk.stage.duration": _STAGE_S,
    "gen_ai.server.time_per_output_token": _PER_TOKEN_S,
    "gen_ai.client.token.usage": _TOKENS,
}
_UNITS = {
    "gen_ai.client.token.usage": "{token}",
    "ropewalk.consumer.pending": "{message}",
    "ropewalk.consumer.ack_pending": "{message}",
    "ropewalk.consumer.redelivered": "{message}",
}


class OtlpRunningSpan:
    """A span of the SDK behind the words of `telemetry`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes."""
        self._span.set_attributes(dict(attributes))

    def end(self, error: BaseException | None) -> None:
        """Finish the span; an error becomes its status and `error.type`."""
        if error is not None:
            self._span.set_attribute("error.type", type(error).__qualname__)
            self._span.set_status(Status(StatusCode.ERROR, str(error)))
        self._span.end()


class _TraceIds(RandomIdGenerator):
    """Random ids, except that a root span of a run takes the run's trace id."""

    def __init__(self) -> None:
        self.wanted: ContextVar[int] = ContextVar("wanted_trace_id", default=0)

    def generate_trace_id(self) -> int:
        return self.wanted.get() or super().generate_trace_id()


class OtlpExporter:
    """Spans and measurements of one service."""

    def __init__(self, service_name: str, processor: SpanProcessor, reader: MetricReader) -> None:
        resource = Resource.create(
            {
                "service.name": service_name,
                "service.namespace": "ropewalk",
                "service.version": version("ropewalk"),
            }
        )
        self._ids = _TraceIds()
        self._traces = TracerProvider(resource=resource, id_generator=self._ids)
        self._traces.add_span_processor(processor)
        self._tracer = self._traces.get_tracer("ropewalk", schema_url=SCHEMA_URL)
        self._metrics = MeterProvider(metric_readers=[reader], resource=resource)
        self._meter = self._metrics.get_meter("ropewalk", schema_url=SCHEMA_URL)
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Gauge] = {}

    def begin(
        self, name: str, parent: str, root_trace: int, kind: SpanKind, attributes: Mapping[str, AttributeValue]
    ) -> OtlpRunningSpan:
        """Begin a span below `parent`, or as a root of trace `root_trace` (0: a new trace)."""
        token = self._ids.wanted.set(root_trace)
        span = self._tracer.start_span(
            name, context=_context_of(parent), kind=trace.SpanKind[kind.upper()], attributes=dict(attributes)
        )
        self._ids.wanted.reset(token)
        return OtlpRunningSpan(span)

    def count(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Add to a counter."""
        if name not in self._counters:
            self._counters[name] = self._meter.create_counter(name)
        self._counters[name].add(value, dict(attributes))

    def record(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Add an observation to a histogram."""
        if name not in self._histograms:
            self._histograms[name] = self._meter.create_histogram(
                name,
                unit=_UNITS.get(name, "s"),
                explicit_bucket_boundaries_advisory=_BUCKETS.get(name, _REQUEST_S),
            )
        self._histograms[name].record(value, dict(attributes))

    def gauge(self, name: str, value: float, attributes: Mapping[str, AttributeValue]) -> None:
        """Set a present value."""
        if name not in self._gauges:
            self._gauges[name] = self._meter.create_gauge(name, unit=_UNITS.get(name, "s"))
        self._gauges[name].set(value, dict(attributes))

    def shutdown(self) -> None:
        """Send what is left and stop the two threads."""
        self._traces.shutdown()
        self._metrics.shutdown()


def otlp_exporter(service_name: str, endpoint: str) -> OtlpExporter:
    """An exporter to the collector at `endpoint`, the URL without `/v1/traces`."""
    base = endpoint.rstrip("/")
    return OtlpExporter(
        service_name,
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=EXPORT_TIMEOUT_S)),
        PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=EXPORT_TIMEOUT_S),
            export_interval_millis=METRIC_INTERVAL_S * 1000,
        ),
    )


def _context_of(traceparent: str) -> Context:
    """OpenTelemetry's context of a (well-formed) parent; an explicit empty one starts a root."""
    if not traceparent:
        return Context()
    _, trace_id, span_id, flags = traceparent.split("-")
    parent = SpanContext(
        trace_id=int(trace_id, 16), span_id=int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())
