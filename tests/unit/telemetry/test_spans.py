"""Telemetry: one trace per run, exported or not; conventional names; no cost without an endpoint."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind

from ropewalk.telemetry.metrics import gauge, is_exporting, record
from ropewalk.telemetry.names import ATTRIBUTE_NAMES
from ropewalk.telemetry.otlp import export_through
from ropewalk.telemetry.settings import TelemetrySettings
from ropewalk.telemetry.setup import configure, install, shutdown
from ropewalk.telemetry.spans import current_traceparent, span, traceparent_of_run

SOMEBODY_ELSES = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Recorded:
    """What an exporter in memory received."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.metrics = InMemoryMetricReader()

    def named(self, name: str) -> ReadableSpan:
        (found,) = [one for one in self.spans.get_finished_spans() if one.name == name]
        return found

    def points(self, name: str) -> list[object]:
        data = self.metrics.get_metrics_data()
        assert data is not None
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    memory = Recorded()
    install(*export_through("trainer", SimpleSpanProcessor(memory.spans), memory.metrics))
    yield memory
    shutdown()


def settings_for(endpoint: str) -> TelemetrySettings:
    return TelemetrySettings.model_validate({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})


def publish_then_consume(run_id: str) -> tuple[str, str]:
    """One service publishes inside a span, another handles the message under what travelled with it."""
    with span("ingest", kind=SpanKind.PRODUCER, run_id=run_id):
        sent = current_traceparent()
    with span("preprocess", cause=sent, kind=SpanKind.CONSUMER, run_id=run_id):
        return sent, current_traceparent()


def test_a_context_crosses_services_that_export_nothing() -> None:
    sent, received = publish_then_consume("run-1")
    assert sent == received == traceparent_of_run("run-1")
    assert current_traceparent() == ""


def test_a_run_has_the_same_trace_id_in_every_process() -> None:
    code = "from ropewalk.telemetry.spans import traceparent_of_run; print(traceparent_of_run('run-1'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == traceparent_of_run("run-1") != traceparent_of_run("run-2")


def test_the_context_of_a_run_is_what_the_w3c_asks_for() -> None:
    version, trace_id, span_id, flags = traceparent_of_run("run-1").split("-")
    assert (version, flags) == ("00", "01")
    assert len(bytes.fromhex(trace_id)) == 16
    assert len(bytes.fromhex(span_id)) == 8


def test_without_an_endpoint_the_sdk_is_not_imported_and_no_thread_runs() -> None:
    code = (
        "import sys, threading\n"
        "from ropewalk.telemetry.metrics import gauge\n"
        "from ropewalk.telemetry.settings import TelemetrySettings\n"
        "from ropewalk.telemetry.setup import configure\n"
        "from ropewalk.telemetry.spans import span\n"
        "configure('trainer', TelemetrySettings.model_validate({'OTEL_EXPORTER_OTLP_ENDPOINT': ''}))\n"
        "with span('x', run_id='r'): gauge('y', 1)\n"
        "loaded = [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]\n"
        "print(loaded, threading.active_count())\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[] 1"


def test_a_parent_from_somebody_else_is_kept() -> None:
    with span("submit", traceparent=SOMEBODY_ELSES, run_id="run-1"):
        assert current_traceparent() == SOMEBODY_ELSES


@pytest.mark.parametrize(
    "malformed", ["", "hello", "00-" + "0" * 32 + "-b7ad6b7169203331-01", SOMEBODY_ELSES + "-x", SOMEBODY_ELSES.upper()]
)
def test_a_malformed_parent_counts_as_none(malformed: str) -> None:
    with span("submit", traceparent=malformed, run_id="run-1"):
        assert current_traceparent() == traceparent_of_run("run-1")
    with span("submit", traceparent=malformed):
        assert current_traceparent() == ""


async def test_a_span_may_end_in_another_task_than_it_began() -> None:
    async def rows() -> object:
        with span("stream", run_id="run-1"):
            yield 1
            yield 2

    stream = rows()
    first = await asyncio.create_task(anext(stream))
    await asyncio.create_task(stream.aclose())
    assert first == 1
    assert current_traceparent() == ""


def test_exported_spans_of_a_run_share_one_trace_and_link_to_their_cause(recorded: Recorded) -> None:
    publish_then_consume("run-1")
    ingest, preprocess = recorded.named("ingest"), recorded.named("preprocess")
    assert f"{ingest.context.trace_id:032x}" == traceparent_of_run("run-1").split("-")[1]
    assert preprocess.context.trace_id == ingest.context.trace_id
    assert ingest.parent is None
    assert preprocess.parent is None  # ingest may be killed before its span is exported
    assert [link.context.span_id for link in preprocess.links] == [ingest.context.span_id]


def test_a_message_from_somebody_elses_trace_is_handled_in_the_trace_of_its_run(recorded: Recorded) -> None:
    with span("handle", cause=SOMEBODY_ELSES, run_id="run-1"):
        assert current_traceparent()[3:35] == traceparent_of_run("run-1")[3:35]
    (link,) = recorded.named("handle").links
    assert f"{link.context.trace_id:032x}" == SOMEBODY_ELSES[3:35]


def test_what_is_caused_by_a_message_is_no_child_of_what_happens_to_be_active(recorded: Recorded) -> None:
    with span("handle", run_id="run-1"), span("stage", cause="", run_id="run-1"):
        pass
    assert recorded.named("stage").parent is None


def test_what_an_error_says_and_long_values_do_not_get_into_a_span(recorded: Recorded) -> None:
    with pytest.raises(OSError, match="secret"), span("ask", prompt="x" * 10_000):
        raise OSError("secret")
    assert "secret" not in recorded.named("ask").to_json()
    assert len(recorded.named("ask").attributes["ropewalk.prompt"]) == 200


def test_a_service_that_exports_joins_the_trace_of_one_that_does_not(recorded: Recorded) -> None:
    telemetry_off = traceparent_of_run("run-1")
    with span("train", traceparent=telemetry_off, run_id="run-1"):
        pass
    assert f"{recorded.named('train').context.trace_id:032x}" == telemetry_off[3:35]


def test_spans_without_a_run_get_traces_of_their_own(recorded: Recorded) -> None:
    for name in ("one", "two"):
        with span(name):
            pass
    assert recorded.named("one").context.trace_id != recorded.named("two").context.trace_id


def test_nested_spans_are_children_and_restore_their_parent(recorded: Recorded) -> None:
    with span("outer"):
        outside = current_traceparent()
        with span("inner"):
            assert current_traceparent() != outside
        assert current_traceparent() == outside
    assert recorded.named("inner").parent.span_id == recorded.named("outer").context.span_id


def test_a_failure_marks_its_span_and_passes_through(recorded: Recorded) -> None:
    with pytest.raises(OSError, match="disk full"), span("save"):
        raise OSError("disk full")
    failed = recorded.named("save")
    assert failed.status.status_code.name == "ERROR"
    assert failed.attributes["error.type"] == "OSError"
    assert current_traceparent() == ""


def test_words_become_the_names_of_the_conventions(recorded: Recorded) -> None:
    with span("chat", kind=SpanKind.SERVER, model="pycode", run_id="run-1", stage="serve") as running:
        running.set(input_tokens=5, output_tokens=7)
    shown = recorded.named("chat")
    assert shown.kind.name == "SERVER"
    assert dict(shown.attributes) == {
        "gen_ai.request.model": "pycode",
        "ropewalk.run.id": "run-1",
        "ropewalk.stage": "serve",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
    }
    assert shown.resource.attributes["service.name"] == "trainer"
    assert shown.resource.attributes["service.namespace"] == "ropewalk"


def test_every_gen_ai_name_is_one_of_the_published_conventions() -> None:
    published = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    ours = {name for name in ATTRIBUTE_NAMES.values() if name.startswith("gen_ai.")}
    assert ours
    assert ours <= published


def test_durations_fall_into_the_buckets_of_the_conventions(recorded: Recorded) -> None:
    record("gen_ai.server.request.duration", 0.015, model="pycode")
    (duration,) = recorded.points("gen_ai.server.request.duration")
    assert duration.attributes == {"gen_ai.request.model": "pycode"}
    assert duration.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert duration.bucket_counts[1] == 1


def test_real_otlp_reaches_a_collector_with_one_trace_per_run(collector) -> None:
    configure("ingest", settings_for(collector.endpoint))
    sent, _ = publish_then_consume("run-1")
    record("ropewalk.stage.duration", 4, stage="train")
    shutdown()
    assert {one.name for one in collector.spans()} == {"ingest", "preprocess"}
    assert {one.trace_id.hex() for one in collector.spans()} == {sent[3:35]} == {traceparent_of_run("run-1")[3:35]}
    assert collector.metric_names() == {"ropewalk.stage.duration"}


def test_a_collector_that_is_away_neither_blocks_work_nor_the_end() -> None:
    configure("ingest", settings_for("http://127.0.0.1:9"))
    started = time.monotonic()
    for _ in range(100):
        publish_then_consume("run-1")
    assert time.monotonic() - started < 1
    shutdown()
    assert time.monotonic() - started < 8


def test_a_gauge_keeps_its_last_value_per_attributes(recorded: Recorded) -> None:
    assert is_exporting()
    for value in (3, 1):
        gauge("ropewalk.consumer.pending", value, consumer="trainer__train")
    gauge("ropewalk.consumer.pending", 7, consumer="ingest__submit")
    points = recorded.points("ropewalk.consumer.pending")
    assert {point.attributes["ropewalk.consumer"]: point.value for point in points} == {
        "trainer__train": 1,
        "ingest__submit": 7,
    }


def test_a_gauge_goes_nowhere_without_an_exporter() -> None:
    assert not is_exporting()
    gauge("ropewalk.consumer.pending", 3, consumer="trainer__train")
