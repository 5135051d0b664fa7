"""Every request is a span and a few measurements, sent to a real OTLP receiver."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ropewalk.telemetry.settings import TelemetrySettings
from ropewalk.telemetry.setup import configure, shutdown

ASK = {"model": "demo", "prompt": "abc", "max_tokens": 5, "temperature": 0.5}
CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def received(collector: Any) -> Iterator[Any]:
    """The collector; calling `received()` sends what is left and returns it."""
    configure("serving", TelemetrySettings.model_validate({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}))

    def flushed() -> Any:
        shutdown()
        return collector

    yield flushed
    shutdown()


def attributes_of(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_is_a_span_with_the_names_of_the_conventions(
    bench: Any, received: Any, stream: bool
) -> None:
    body = json.dumps(ASK | {"stream": stream})
    response = await bench.client.post("/v1/completions", content=body, headers={"traceparent": CLIENTS})
    inner, span = received().spans()
    assert (inner.name, inner.parent_span_id) == ("generate on memory", span.span_id)
    assert span.name == "text_completion demo"
    assert span.parent_span_id.hex() == CLIENTS[36:52]
    assert span.trace_id.hex() == CLIENTS[3:35] == bench.rows[0].trace_id
    shown = attributes_of(span)
    assert shown.pop("gen_ai.response.id") == response.headers["x-request-id"]
    assert shown == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "ropewalk",
        "gen_ai.request.model": "demo",
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.response.model": "demo@1",
        "gen_ai.response.finish_reasons": "length",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "ropewalk.checkpoint.id": "run-1-1-9",
    }


async def test_a_chat_says_so_and_is_measured(bench: Any, received: Any) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3}
    await bench.client.post("/v1/chat/completions", json=body)
    collector = received()
    assert [span.name for span in collector.spans()] == ["generate on memory", "chat demo"]
    assert collector.metric_names() == {
        "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
        "gen_ai.client.token.usage",
    }


async def test_a_request_that_reaches_no_model_is_a_span_too(bench: Any, received: Any) -> None:
    await bench.client.post("/v1/completions", json=ASK | {"model": "nope"})
    (span,) = received().spans()
    shown = attributes_of(span)
    assert (shown["gen_ai.request.model"], shown["http.response.status_code"]) == ("nope", 404)


async def test_a_backend_that_is_away_and_a_full_gateway_mark_the_span(bench: Any, received: Any) -> None:
    bench.inference.is_away = True
    await bench.client.post("/v1/completions", json=ASK)
    with bench.admission.admitted("demo-v1"), bench.admission.admitted("demo-v1"):
        assert (await bench.client.post("/v1/completions", json=ASK)).status_code == 429
    inner, away, full = received().spans()
    assert [span.status.code for span in (inner, away, full)] == [2, 2, 2]  # ERROR
    assert attributes_of(full)["error.type"] == "FullError"
