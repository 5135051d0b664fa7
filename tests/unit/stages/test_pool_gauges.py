"""What a pool tells an autoscaler."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ropewalk.events.run import PoolEntry, PoolState
from ropewalk.stages.pool import export_pool
from ropewalk.telemetry.otlp import export_through
from ropewalk.telemetry.setup import install, shutdown


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    memory = InMemoryMetricReader()
    install(*export_through("evaluator", SimpleSpanProcessor(InMemorySpanExporter()), memory))
    yield memory
    shutdown()


def exported(reader: InMemoryMetricReader) -> dict[str, float]:
    """By state, of the one pool."""
    data = reader.get_metrics_data()
    assert data is not None
    points = [p for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics for p in m.data.data_points]
    assert {point.attributes["ropewalk.pool"] for point in points} == {"evaluator"}
    return {point.attributes["ropewalk.state"]: point.value for point in points}


def a_pool(*running: bool) -> PoolState:
    entries = tuple(
        PoolEntry(stage="evaluate", run_id=f"run-{n}", ticket=n, cpus=1.5, running=is_running)
        for n, is_running in enumerate(running)
    )
    return PoolState(run_id="evaluator", capacity=4, entries=entries, operation_id="op")


def test_a_pool_exports_the_cpus_in_use_and_those_that_are_waited_for(reader: InMemoryMetricReader) -> None:
    export_pool(a_pool(True, True, False))
    assert exported(reader) == {"running": 3.0, "waiting": 1.5}


def test_an_empty_pool_exports_zeros_so_that_an_old_queue_does_not_stay(reader: InMemoryMetricReader) -> None:
    export_pool(a_pool(False))
    export_pool(a_pool())
    assert exported(reader) == {"running": 0.0, "waiting": 0.0}
