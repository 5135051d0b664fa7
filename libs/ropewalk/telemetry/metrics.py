"""Durations, counts and present values, through OpenTelemetry's API: without an OTLP endpoint they go nowhere.

What there is to measure is in the `catalogue`; nothing else can be.
"""

from functools import lru_cache

from opentelemetry.metrics import Counter, Histogram, Meter, NoOpMeter
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.util.types import AttributeValue

from ropewalk.telemetry.catalogue import METRICS
from ropewalk.telemetry.names import named

_meter: Meter = NoOpMeter("ropewalk")


def measure_with(meter: Meter) -> None:
    """Measure with this meter from now on."""
    global _meter
    _meter = meter
    for made in (_histogram, _gauge, _counter):
        made.cache_clear()  # instruments belong to the meter that made them


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


def count(name: str, **attributes: AttributeValue) -> None:
    """Something happened once more."""
    if is_exporting():
        _counter(name).add(1, named(attributes))


@lru_cache
def _histogram(name: str) -> Histogram:
    metric = METRICS[name]
    return _meter.create_histogram(name, metric.unit, metric.says, explicit_bucket_boundaries_advisory=metric.bounds)


@lru_cache
def _gauge(name: str) -> Gauge:
    return _meter.create_gauge(name, METRICS[name].unit, METRICS[name].says)


@lru_cache
def _counter(name: str) -> Counter:
    return _meter.create_counter(name, METRICS[name].unit, METRICS[name].says)
