"""Durations, sizes and present values, through OpenTelemetry's API: without an OTLP endpoint they go nowhere."""

from functools import lru_cache

from opentelemetry.metrics import Histogram, Meter, NoOpMeter
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.util.types import AttributeValue

from ropewalk.telemetry.names import named

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

_meter: Meter = NoOpMeter("ropewalk")


def measure_with(meter: Meter) -> None:
    """Measure with this meter from now on."""
    global _meter
    _meter = meter
    _histogram.cache_clear()  # instruments belong to the meter that made them
    _gauge.cache_clear()


def is_exporting() -> bool:
    """Whether anybody gets what is measured; looking for measurements that cost something is worth it only then."""
    return not isinstance(_meter, NoOpMeter)


def record(name: str, value: float, **attributes: AttributeValue) -> None:
    """Add an observation to a histogram. Durations are in seconds."""
    if is_exporting():
        _histogram(name).record(value, named(attributes))


def gauge(name: str, value: float, **attributes: AttributeValue) -> None:
    """Set a present value: how much waits, how old it is."""
    if is_exporting():
        _gauge(name).set(value, named(attributes))


@lru_cache
def _histogram(name: str) -> Histogram:
    bounds = _BUCKETS.get(name, _REQUEST_S)
    return _meter.create_histogram(name, unit=_UNITS.get(name, "s"), explicit_bucket_boundaries_advisory=bounds)


@lru_cache
def _gauge(name: str) -> Gauge:
    return _meter.create_gauge(name, unit=_UNITS.get(name, "s"))
