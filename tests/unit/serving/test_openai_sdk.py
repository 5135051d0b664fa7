"""The real OpenAI SDK against the gateway: every answer is one that it understands."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.errors import RequestRefusedError

HELLO: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def sdk(bench: Any) -> AsyncIterator[AsyncOpenAI]:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(bench.app))
    async with AsyncOpenAI(base_url="http://gateway/v1", api_key="rw-demo", http_client=client, max_retries=0) as sdk:
        yield sdk


async def test_models_are_listed_and_found_with_the_time_of_their_deployment(sdk: AsyncOpenAI, bench: Any) -> None:
    listed = [model async for model in sdk.models.list()]
    found = await sdk.models.retrieve("demo@1")
    assert [model.id for model in listed] == ["demo", "demo@1"]
    assert (found.id, found.object, found.owned_by, found.created) == ("demo@1", "model", "ropewalk", 1_700_000_000)
    with pytest.raises(openai.NotFoundError) as caught:
        await sdk.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


async def test_ids_say_what_they_are_of_and_the_time_is_told(sdk: AsyncOpenAI, bench: Any) -> None:
    completion = await sdk.completions.create(model="demo", prompt="abc", max_tokens=3)
    chat = await sdk.chat.completions.create(model="demo", messages=HELLO, max_tokens=3)
    assert completion.id.startswith("cmpl-")
    assert chat.id.startswith("chatcmpl-")
    assert min(completion.created, chat.created) > 1_700_000_000
    assert [row.request_id for row in bench.rows] == [completion.id, chat.id]


async def test_an_answer_goes_back_as_a_turn_with_everything_the_sdk_puts_into_it(sdk: AsyncOpenAI, bench: Any) -> None:
    first = await sdk.chat.completions.create(model="demo", messages=HELLO, max_tokens=3)
    turns = [*HELLO, first.choices[0].message.model_dump(), *HELLO]
    await sdk.chat.completions.create(model="demo", messages=turns, max_tokens=3)
    assert bench.rows[1].prompt == "<user>hi<assistant><us<user>hi<assistant>"


async def test_streams_have_one_id_and_end_with_usage_when_asked(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="demo", messages=HELLO, max_tokens=4, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert len({chunk.id for chunk in chunks}) == len({chunk.created for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "<use"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.completion_tokens, chunks[-1].usage.prompt_tokens) == (4, 19)


async def test_a_completion_streams_its_usage_too(sdk: AsyncOpenAI) -> None:
    stream = await sdk.completions.create(
        model="demo", prompt="abc", max_tokens=4, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 7


async def test_everything_the_sdk_can_say_that_changes_nothing_is_accepted(sdk: AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="demo",
        messages=HELLO,
        max_completion_tokens=3,
        frequency_penalty=0.0,
        presence_penalty=0.0,
        logit_bias={},
        logprobs=False,
        metadata={"who": "me"},
        modalities=["text"],
        n=1,
        parallel_tool_calls=True,
        response_format={"type": "text"},
        seed=None,
        service_tier="auto",
        stop=None,
        store=False,
        stream=None,
        temperature=None,
        tool_choice="auto",
        tools=[],
        top_logprobs=None,
        top_p=None,
        user="me",
    )
    assert answer.choices[0].message.content == "<us"


async def test_what_cannot_be_honoured_is_a_bad_request_that_names_its_field(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="n") as caught:
        await sdk.chat.completions.create(model="demo", messages=HELLO, n=3)
    assert (caught.value.param, caught.value.type) == ("n", "invalid_request_error")


async def test_an_empty_prompt_is_one(sdk: AsyncOpenAI, bench: Any) -> None:
    answer = await sdk.completions.create(model="demo", prompt="", max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert bench.rows[0].prompt == ""


async def test_a_wrong_key_is_an_authentication_error_that_names_the_scheme(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await sdk.with_options(api_key="wrong").models.list()
    assert caught.value.response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", {"POST"}),
        ("DELETE", "/v1/completions", {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("PUT", "/v1/models/demo", {"GET", "HEAD"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(bench: Any, method: str, path: str, allowed: set[str]) -> None:
    response = await bench.client.request(method, path)
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == allowed
    assert response.json()["error"]["code"] == "method_not_allowed"


async def test_a_schema_the_backend_cannot_follow_is_refused_under_the_name_of_the_field(
    sdk: AsyncOpenAI, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_target: str, generation: Generation) -> AsyncIterator[Piece]:
        assert generation.schema == '{"not":{}}'
        raise RequestRefusedError("structured_outputs.json: Unimplemented keys: not")
        yield

    monkeypatch.setattr(bench.inference, "generate", refuse)
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}, "strict": True}}
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.chat.completions.create(model="demo", messages=HELLO, response_format=wanted)
    assert caught.value.param == "response_format.json_schema.schema"
    assert "response_format.json_schema.schema: Unimplemented keys: not" in str(caught.value)
