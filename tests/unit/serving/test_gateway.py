"""The gateway over the memory backend, through real HTTP messages."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from ropewalk.serving.domain.routes import Routes

ASK = {"model": "demo", "prompt": "abc", "max_tokens": 5}


async def post(bench: Any, body: Any, path: str = "/v1/completions", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await bench.client.post(path, content=content, headers=headers)


def error_of(response: Any) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def events_of(response: Any) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_a_completion_has_the_openai_shape_and_names_its_version(bench: Any) -> None:
    response = await post(bench, ASK)
    body = response.json()
    assert response.status_code == 200
    assert body["object"] == "text_completion"
    assert body["choices"][0] == {"index": 0, "text": "abcab", "finish_reason": "length", "logprobs": None}
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert response.headers["x-ropewalk-model-version"] == "demo@1"
    assert "run-1-1-9" in body["system_fingerprint"]


async def test_a_name_that_the_log_knows_and_this_instance_still_loads_is_asked_for_again(bench: Any) -> None:
    fleet = bench.fleet
    fleet.expected, fleet.routes = fleet.routes, Routes()
    response = await post(bench, ASK)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert error_of(response)["code"] == "loading"
    assert (await post(bench, ASK | {"model": "nobody"})).status_code == 404


async def test_token_ids_come_only_when_asked_for(bench: Any) -> None:
    assert "token_ids" not in (await post(bench, ASK)).json()["choices"][0]
    asked = (await post(bench, ASK | {"return_token_ids": True})).json()["choices"][0]
    assert asked["token_ids"] == [97, 98, 99, 97, 98]


async def test_a_stream_ends_with_usage_and_done(bench: Any) -> None:
    response = await post(bench, ASK | {"stream": True, "stream_options": {"include_usage": True}})
    *chunks, usage, done = events_of(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "abcab"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["length"]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 5
    assert done == "[DONE]"


async def test_chat_renders_the_template_of_the_model(bench: Any) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    response = await post(bench, {"model": "demo", "messages": messages, "max_tokens": 3}, "/v1/chat/completions")
    assert response.json()["choices"][0]["message"] == {"role": "assistant", "content": "<sy", "refusal": None}
    assert bench.rows[0].prompt == "<system>s<user>hi<assistant>"
    assert bench.rows[0].route == "chat"


async def test_a_chat_stream_names_the_role_once(bench: Any) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3, "stream": True}
    *chunks, _ = events_of(await post(bench, body, "/v1/chat/completions"))
    assert ["role" in chunk["choices"][0]["delta"] for chunk in chunks] == [True, False, False]


@pytest.mark.parametrize("name", ["demo", "demo@1", "demo:production"])
async def test_a_model_is_asked_by_name_version_or_alias(bench: Any, name: str) -> None:
    assert (await post(bench, ASK | {"model": name})).status_code == 200
    assert (await bench.client.get(f"/v1/models/{name}")).json()["checkpoint_id"] == "run-1-1-9"


async def test_models_lists_every_name_that_answers(bench: Any) -> None:
    listed = (await bench.client.get("/v1/models")).json()
    assert [card["id"] for card in listed["data"]] == ["demo", "demo@1"]


async def test_until_the_log_was_read_no_model_is_said_not_to_exist(bench: Any) -> None:
    bench.fleet.ready.clear()
    for response in (
        await post(bench, ASK | {"model": "nobody"}),
        await bench.client.get("/v1/models"),
        await bench.client.get("/v1/models/demo"),
    ):
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert error_of(response)["code"] == "starting"


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic rw-demo", "Bearer "])
async def test_a_wrong_or_missing_key_is_refused_everywhere_and_not_logged(bench: Any, header: str) -> None:
    for path in ("/v1/models", "/v1/models/demo"):
        assert (await bench.client.get(path, headers={"Authorization": header})).status_code == 401
    response = await post(bench, ASK, Authorization=header)
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert bench.rows == []


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        (b"{not json", 400, None, "not JSON"),
        ([1], 400, "body", "body"),
        ({"model": "demo"}, 400, "prompt", "missing"),
        (ASK | {"temperature": -3}, 400, "temperature", "-3"),
        (ASK | {"max_tokens": 0}, 400, "max_tokens", "0"),
        (ASK | {"n": 4}, 400, "n", "4"),
        (ASK | {"tempreature": 1}, 400, "tempreature", "tempreature"),
        (ASK | {"prompt": ["a", "b"]}, 400, "prompt", "2 entries"),
        (ASK | {"model": "nobody"}, 404, "model", "models: demo"),
        (ASK | {"model": "demo@7"}, 404, "model", "demo@7"),
        (ASK | {"prompt": "x" * 500}, 400, "prompt", "500 tokens"),
        (ASK | {"prompt": "x" * 30_000}, 413, None, "20000 bytes"),
    ],
)
async def test_a_request_we_cannot_honour_is_refused_by_field_and_value_and_logged(
    bench: Any, body: Any, status: int, param: str | None, words: str
) -> None:
    response = await post(bench, body)
    error = error_of(response)
    assert response.status_code == status
    assert error["param"] == param
    assert words in error["message"]
    assert [(row.status, row.key_id, row.error) for row in bench.rows] == [(status, "demo", error["message"])]


async def test_a_model_whose_promotion_is_under_way_is_said_to_be_that(bench: Any) -> None:
    routes = bench.fleet.routes
    bench.fleet.routes = replace(routes, aliases={})
    error = error_of(await post(bench, ASK))
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "'demo' answers nothing yet: the promotion of demo@1 is under way" in error["message"]
    assert "there is no model" in error_of(await post(bench, ASK | {"model": "demo:canary"}))["message"]
    bench.fleet.routes = replace(routes, aliases={("demo", "canary"): {1: 1}})
    assert "there is no model" in error_of(await post(bench, ASK))["message"]


async def test_unknown_paths_have_the_error_format_too(bench: Any) -> None:
    assert error_of(await bench.client.get("/v1/nothing"))["code"] == "not_found"


async def test_more_requests_than_admitted_get_429_and_retry_after(bench: Any) -> None:
    bench.inference.pace_s = 0.02
    responses = await asyncio.gather(*(post(bench, ASK) for _ in range(5)))
    refused = [response for response in responses if response.status_code == 429]
    assert len(refused) == 3
    assert {response.headers["retry-after"] for response in refused} == {"1"}
    assert (await post(bench, ASK)).status_code == 200


async def test_a_backend_that_is_away_is_503_before_the_first_token(bench: Any) -> None:
    bench.inference.is_away = True
    response = await post(bench, ASK | {"stream": True})
    assert response.status_code == 503
    assert error_of(response)["code"] == "backend_unavailable"


async def test_a_backend_that_goes_away_ends_a_stream_with_an_error_event(bench: Any) -> None:
    bench.inference.pace_s = 0.02
    asked = asyncio.ensure_future(post(bench, ASK | {"stream": True, "max_tokens": 50}))
    async with asyncio.timeout(5):
        while bench.inference.num_pieces < 3:
            await asyncio.sleep(0.005)
    bench.inference.is_away = True
    *_, last = events_of(await asked)
    assert last["error"]["code"] == "backend_unavailable"
    assert bench.rows[0].status == 503


async def test_a_client_that_goes_away_ends_the_work_and_is_logged(bench: Any) -> None:
    bench.inference.pace_s = 0.01
    begun = asyncio.Event()
    incoming = [{"type": "http.request", "body": json.dumps(ASK | {"stream": True, "max_tokens": 99}).encode()}]

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            begun.set()

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/completions",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer rw-demo")],
    }
    async with asyncio.timeout(5):
        await bench.app(scope, receive, send)
    assert bench.inference.num_running == 0
    assert bench.admission.in_flight("demo-v1") == 0
    assert [(row.status, row.stream) for row in bench.rows] == [(499, True)]
    assert 0 < bench.rows[0].completion_tokens < 99


async def test_the_log_row_tells_the_whole_story(bench: Any) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    await post(bench, ASK, traceparent=traceparent)
    (row,) = bench.rows
    assert (row.model, row.model_version, row.run_id, row.checkpoint_id) == ("demo", 1, "run-1", "run-1-1-9")
    assert (row.prompt, row.completion, row.finish_reason, row.status) == ("abc", "abcab", "length", 200)
    assert (row.prompt_tokens, row.completion_tokens, row.logprob_mean) == (3, 5, -1.0)
    assert 0 < row.ttft_ms <= row.latency_ms
    assert row.trace_id == "a" * 32


async def test_health_says_whether_the_routes_are_known(bench: Any) -> None:
    assert (await bench.client.get("/healthz")).json() == {"ready": True, "models": ["demo", "demo@1"], "away": []}
    assert (await bench.client.get("/livez")).status_code == 200
    bench.fleet.ready.clear()
    assert (await bench.client.get("/healthz")).status_code == 503
    assert (await bench.client.get("/livez")).status_code == 503
