"""One request must not end others: foreign text is cut, errors of ours end one request, health tells the truth."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from starlette.requests import Request

from ropewalk.serving.adapters.gateway import body
from ropewalk.serving.adapters.gateway.errors import ApiError
from ropewalk.serving.adapters.request_log import bounded
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.domain.vitals import Vitals

ASK = {"model": "demo", "prompt": "abc", "max_tokens": 5}
LONG = "x" * 15_000  # the bench takes bodies of 20 kB; how long is cut makes no difference


async def post(bench: Any, body: Any, path: str = "/v1/completions", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await bench.client.post(path, content=content, headers=headers)


async def health(bench: Any) -> tuple[int, list[str], list[str]]:
    response = await bench.client.get("/healthz")
    return response.status_code, response.json()["models"], response.json()["away"]


@pytest.mark.parametrize(
    "body",
    [
        ASK | {"model": LONG},
        ASK | {"model": "demo@" + "0" * 10_000 + "1"},
        ASK | {"model": [LONG]},
        ASK | {LONG: 1},
        ASK | {"temperature": LONG},
        ASK | {"metadata": {LONG: 1}},
        ASK | {"stop": [LONG]},
        ASK | {"stream_options": {LONG: 1}},
        ASK | {"stop": ["x"] * 3000},
        {"model": "demo", "messages": [{"role": LONG, "content": "x"}]},
        {"model": "demo", "messages": [{LONG: 1}]},
        {"model": "demo", "messages": [{"role": "user", "content": [{"type": LONG}]}]},
        {"model": "demo", "messages": [1] * 5000},
    ],
)
async def test_what_is_echoed_of_a_request_is_short_in_the_answer_and_in_the_log(bench: Any, body: Any) -> None:
    response = await post(bench, body, "/v1/chat/completions" if "messages" in body else "/v1/completions")
    assert response.status_code in (400, 404)
    assert len(response.content) < 2500
    assert len(bounded(bench.rows[0]).model_dump_json()) < 5000
    assert response.json()["error"]["message"] == bench.rows[0].error


async def test_a_list_of_models_in_a_sentence_is_short(bench: Any, make_version: Any) -> None:
    for number in range(2, 500):
        bench.fleet.routes.versions["demo", number] = make_version(number)
    message = (await post(bench, ASK | {"model": "nobody"})).json()["error"]["message"]
    assert "and 480 more" in message
    assert len(message) < 500


@pytest.mark.parametrize("version", ["9" * 4301, "9" * 19, "01", "１", "²", "-1", "1e3", " 1", "", "1@1", "True"])
async def test_a_version_is_named_in_one_way_and_anything_else_is_a_404_with_a_row(bench: Any, version: str) -> None:
    response = await post(bench, ASK | {"model": f"demo@{version}"})
    assert response.status_code == 404
    assert [row.status for row in bench.rows] == [404]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 2000 + b"]" * 2000, "depth limit"),
        (b'{"model": "demo", "prompt": ' + b"[" * 900 + b"]" * 900 + b"}", "'prompt"),
        (b'{"model": "demo", "prompt": "x", "metadata": ' + b'{"a":' * 900 + b"1" + b"}" * 901, "metadata"),
        (b'{"model": "demo", "prompt": "x", "temperature": NaN}', "not JSON"),
        (b'{"model": "demo", "prompt": "x", "temperature": 1e999}', "not JSON"),
        (b'{"model": "demo", "prompt": "x", "temperature": Infinity}', "not JSON"),
        (b'{"model": "demo", "prompt": "x", "max_tokens": ' + b"9" * 400 + b"}", "not JSON"),
        (b'{"model": "demo", "prompt": "x", "max_tokens": 99999999999999999999}', "max_tokens"),
        (b'{"model": "demo", "prompt": "x", "seed": 99999999999999999999}', "seed"),
        (b'{"model": "demo", "prompt": [99999999999999999999]}', "prompt.0"),
        (b'{"model": "demo", "prompt": "\\ud800"}', "not JSON"),
        (b'{"model": "demo", "prompt": "\xff\xfe"}', "not JSON"),
        ('{"model": "demo", "prompt": "x"}'.encode("utf-16"), "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"", "not JSON"),
        (b"null", "JSON object"),
        (b"model=demo&prompt=x", "not JSON"),
    ],
)
async def test_json_of_any_kind_gets_one_sentence_and_a_row(bench: Any, body: bytes, words: str) -> None:
    response = await post(bench, body)
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]
    assert [row.status for row in bench.rows] == [400]


async def test_of_a_repeated_key_the_last_counts_for_everybody(bench: Any) -> None:
    response = await post(bench, b'{"model": "nobody", "model": "demo", "prompt": "abc", "max_tokens": 1}')
    assert (response.json()["model"], bench.rows[0].model, bench.rows[0].status) == ("demo", "demo", 200)


async def test_a_nul_in_a_prompt_is_text(bench: Any) -> None:
    assert (await post(bench, ASK | {"prompt": "a\0b"})).json()["choices"][0]["text"] == "a\0ba\0"


async def test_a_wrong_content_type_is_taken_and_a_coding_we_do_not_read_is_named(bench: Any) -> None:
    assert (await post(bench, ASK, **{"content-type": "text/plain"})).status_code == 200
    response = await post(bench, ASK, **{"content-encoding": "gzip"})
    assert response.status_code == 415
    assert "'gzip'" in response.json()["error"]["message"]


async def test_an_announced_body_that_is_too_large_is_refused_before_it_is_read(bench: Any) -> None:
    async def never() -> Any:
        raise AssertionError("the body was asked for")
        yield b""

    headers = {"content-length": "999999999999"}
    response = await bench.client.post("/v1/completions", content=never(), headers=headers)
    assert response.status_code == 413
    assert bench.rows[0].status == 413


async def test_many_large_uploads_at_once_are_refused_and_small_ones_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_ALL_TOGETHER", 2)
    bodies = body.Bodies(100_000)
    more = asyncio.Event()

    def a_request(*parts: bytes) -> Request:
        left = list(parts)

        async def receive() -> dict[str, Any]:
            if len(left) == 1:
                await more.wait()
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        return Request({"type": "http", "headers": []}, receive)

    large = [asyncio.create_task(bodies.read(a_request(b" " * 90_000, b"1"))) for _ in range(2)]
    await asyncio.sleep(0)
    more.set()
    with pytest.raises(ApiError, match="too much is being sent"):
        await bodies.read(a_request(b" " * 90_000, b"1"))
    assert await bodies.read(a_request(b" " * 40_000, b"2")) == 2
    assert [await task for task in large] == [1, 1]
    assert await bodies.read(a_request(b" " * 90_000, b"3")) == 3


def broken_after(num_pieces: int, generate: Any) -> Any:
    """A backend that raises what no backend should."""

    async def broken(target: str, generation: Generation) -> AsyncGenerator[Piece, None]:
        async with aclosing(generate(target, generation)) as pieces:
            for _ in range(num_pieces):
                yield await anext(pieces)
        raise ZeroDivisionError("a fault of ours")

    return broken


@pytest.mark.parametrize(("num_pieces", "status"), [(0, 500), (2, 200)])
async def test_a_fault_of_ours_ends_one_request_with_a_row_and_without_its_words(
    bench: Any, num_pieces: int, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bench.inference, "generate", broken_after(num_pieces, bench.inference.generate))
    response = await post(bench, ASK | {"stream": True})
    assert response.status_code == status
    assert "internal_error" in response.text
    assert "a fault of ours" not in response.text
    assert [row.status for row in bench.rows] == [500]
    assert bench.rows[0].request_id in caplog.text
    assert bench.admission.in_flight("demo-v1") == 0


async def test_a_backend_that_is_away_makes_the_endpoint_unready_until_a_request_succeeds(bench: Any) -> None:
    assert await health(bench) == (200, ["demo", "demo@1"], [])
    bench.inference.is_away = True
    assert (await post(bench, ASK)).status_code == 503
    assert await health(bench) == (503, [], ["demo", "demo@1"])
    assert (await bench.client.get("/livez")).status_code == 200
    bench.inference.is_away = False
    assert (await post(bench, ASK)).status_code == 200
    assert await health(bench) == (200, ["demo", "demo@1"], [])


async def test_a_model_that_was_never_loaded_is_away_and_the_others_keep_the_endpoint_ready(
    bench: Any, make_version: Any
) -> None:
    bench.fleet.routes.versions["demo", 2] = make_version(2)
    assert await health(bench) == (200, ["demo", "demo@1"], ["demo@2"])
    await bench.fleet.unload(make_version(1))
    assert await health(bench) == (503, [], ["demo", "demo@1", "demo@2"])


async def test_the_watch_notices_a_backend_that_is_away_without_any_request(bench: Any) -> None:
    bench.inference.is_away = True
    watching = asyncio.create_task(bench.fleet.watch())
    async with asyncio.timeout(5):
        while (await health(bench))[0] == 200:
            await asyncio.sleep(0.01)
    watching.cancel()
    status, _, away = await health(bench)
    assert (status, away) == (503, ["demo", "demo@1"])


async def test_an_endpoint_without_any_model_is_ready(bench: Any) -> None:
    bench.fleet.routes.versions.clear()
    assert await health(bench) == (200, [], [])


def test_a_failure_is_believed_for_ten_seconds() -> None:
    vitals = Vitals()
    assert not vitals.is_failing("a", 0.0)
    vitals.failed("a", 100.0)
    assert vitals.is_failing("a", 109.9)
    assert not vitals.is_failing("a", 110.1)
    vitals.failed("a", 120.0)
    vitals.answered("a")
    assert not vitals.is_failing("a", 120.1)
