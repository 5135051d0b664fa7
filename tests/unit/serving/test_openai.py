"""What a client may ask for: what changes nothing is accepted, what cannot be honoured is refused by name."""

import json
import time
from typing import Any

import pytest

from ropewalk.serving.domain.neutral import CHAT, COMMON, COMPLETION, MESSAGE, RequestError
from ropewalk.serving.domain.openai import ChatRequest, CompletionRequest, parse

COMPLETE = {"model": "prose", "prompt": "The"}
TURN = {"role": "user", "content": "hi"}
TALK = {"model": "prose", "messages": [TURN]}
PLAIN = parse(CompletionRequest, COMPLETE)
PLAIN_TALK = parse(ChatRequest, TALK)


def refusal(kind: Any, body: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(kind, body)
    return caught.value


@pytest.mark.parametrize("name", [*CompletionRequest.model_fields, *COMPLETION, "a_field_of_the_future"])
def test_null_in_a_completion_is_as_if_the_field_were_not_there(name: str) -> None:
    if name not in COMPLETE:
        assert parse(CompletionRequest, COMPLETE | {name: None}) == PLAIN


@pytest.mark.parametrize("name", [*ChatRequest.model_fields, *CHAT, "a_field_of_the_future"])
def test_null_in_a_chat_is_as_if_the_field_were_not_there(name: str) -> None:
    if name not in TALK:
        assert parse(ChatRequest, TALK | {name: None}) == PLAIN_TALK


@pytest.mark.parametrize(
    "fields",
    [
        *({name: value} for name, values in CHAT.items() for value in values),
        {"presence_penalty": 0.0, "frequency_penalty": -0.0, "n": 1.0},
        {"tools": None, "tool_choice": None, "response_format": None, "parallel_tool_calls": None},
        {"stream_options": {"include_usage": None, "include_obfuscation": False}},
        {"stream_options": {}},
        {"stop": []},
        {"stop": ""},
        {"top_k": -1},
        {"top_k": 0},
        {"temperature": 1},
        {"top_p": 1.0},
        {"metadata": {}, "user": "me", "store": False},
    ],
)
def test_a_value_that_changes_nothing_is_accepted(fields: dict[str, Any]) -> None:
    assert parse(ChatRequest, TALK | fields).to_generation("p") == PLAIN_TALK.to_generation("p")


@pytest.mark.parametrize("fields", [{name: value} for name, values in COMPLETION.items() for value in values])
def test_so_it_is_in_a_completion(fields: dict[str, Any]) -> None:
    assert parse(CompletionRequest, COMPLETE | fields) == PLAIN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("n", True),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("functions", [{"name": "f"}]),
        ("service_tier", "flex"),
        ("logprobs", True),
        ("top_logprobs", 5),
        ("presence_penalty", 0.5),
        ("logit_bias", {"50256": -100}),
        ("store", True),
        ("modalities", ["text", "audio"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("reasoning_effort", "high"),
        ("web_search_options", {}),
        ("tempreature", 0.5),
    ],
)
def test_a_value_that_would_change_the_answer_is_refused_by_field_and_value(field: str, value: Any) -> None:
    error = refusal(ChatRequest, TALK | {field: value})
    assert error.param == field
    assert repr(field) in str(error)
    assert "leave it out" in str(error) or "did you mean 'temperature'?" in str(error)


@pytest.mark.parametrize(
    ("turn", "param", "words"),
    [
        ({"role": "assistant", "tool_calls": [{"id": "1"}]}, "messages.1.tool_calls", "not supported"),
        ({"role": "user", "content": "x", "name": "bob"}, "messages.1.name", "'bob'"),
        ({"role": "tool", "content": "x", "tool_call_id": "1"}, "messages.1.tool_call_id", "not supported"),
        ({"role": "tool", "content": "x"}, "messages.1.role", "'tool'"),
        ({"role": "user", "content": None}, "messages.1.content", "missing"),
        ({"role": "user"}, "messages.1.content", "missing"),
        ({"role": "system", "content": 5}, "messages.1.content", "5"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages.1.content.0.type", "only text"),
        ({"role": "user", "content": [{"text": "x"}]}, "messages.1.content.0.type", "only text"),
        ({"role": "user", "content": [{"type": "text", "text": "x", "detail": 1}]}, "messages.1.content.0.detail", ""),
        ({"role": "user", "content": ["x"]}, "messages.1.content.0", "JSON object"),
        ({"role": "user", "content": "x", "colour": "red"}, "messages.1.colour", "not known"),
        (7, "messages.1", "JSON object"),
    ],
)
def test_nothing_in_a_turn_is_silently_dropped(turn: Any, param: str, words: str) -> None:
    error = refusal(ChatRequest, TALK | {"messages": [TURN, turn]})
    assert error.param == param
    assert words in str(error)


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None},
        {"role": "assistant"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": []},
        {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": None, "audio": None},
        {"role": "assistant", "content": "", "tool_calls": [], "function_call": None, "name": None},
    ],
)
def test_an_assistant_turn_may_be_empty_and_may_be_what_a_client_library_made_of_our_answer(turn: Any) -> None:
    asked = parse(ChatRequest, TALK | {"messages": [TURN, turn, TURN]})
    assert asked.messages[1].as_template_value() == {"role": "assistant", "content": ""}


def test_every_field_of_a_turn_may_be_null() -> None:
    assert parse(ChatRequest, TALK | {"messages": [TURN | dict.fromkeys(MESSAGE)]}) == PLAIN_TALK


@pytest.mark.parametrize(
    ("prompt", "text", "ids"),
    [
        ("", "", None),
        ([""], "", None),
        (["a"], "a", None),
        ([1, 2], "", (1, 2)),
        ([[1, 2]], "", (1, 2)),
    ],
)
def test_one_prompt_comes_in_every_form_that_openai_has(prompt: Any, text: str, ids: Any) -> None:
    asked = parse(CompletionRequest, COMPLETE | {"prompt": prompt}).to_generation()
    assert (asked.prompt, asked.prompt_token_ids) == (text, ids)


@pytest.mark.parametrize("prompt", [[], ["a", "b"], [[1], [2]], [1, "a"], [-1], [2**31], [1.5], [None], {"a": 1}, 5])
def test_other_prompts_are_refused(prompt: Any) -> None:
    assert refusal(CompletionRequest, COMPLETE | {"prompt": prompt}).param.startswith("prompt")


@pytest.mark.parametrize(
    ("fields", "temperature", "top_p"),
    [
        ({"top_p": 1e-46}, 1.0, 1e-6),
        ({"top_p": 5e-324}, 1.0, 1e-6),
        ({"top_p": 0}, 1.0, 1e-6),
        ({"temperature": 1e-40}, 0.0, 1.0),
        ({"temperature": 5e-324}, 0.0, 1.0),
        ({"temperature": 0, "top_p": 1}, 0.0, 1.0),
        ({"temperature": 0.01}, 0.01, 1.0),
    ],
)
def test_values_below_what_a_float32_holds_mean_what_they_tend_to(
    fields: dict[str, Any], temperature: float, top_p: float
) -> None:
    asked = parse(CompletionRequest, COMPLETE | fields).to_generation()
    assert (asked.temperature, asked.top_p) == (temperature, top_p)


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": ["x"] * 20_000},
        {"stop": ["x" * 501]},
        {"seed": 2**63},
        {"max_tokens": 2**31},
        {"top_k": 2**40},
        {"user": "x" * 5000},
        {"metadata": {str(number): "x" for number in range(65)}},
        {"prompt": [1] * 200_000 + ["a"]},
        {"prompt": ["a"] * 200_000},
        {f"field {number}": 1 for number in range(50_000)},
        {"temperature": [[[[[]]]]] * 100_000},
    ],
)
def test_too_much_of_anything_costs_little_and_is_said_in_few_words(fields: dict[str, Any]) -> None:
    started = time.process_time()
    error = refusal(CompletionRequest, COMPLETE | fields)
    assert time.process_time() - started < 0.5
    assert len(str(error)) + len(error.param) < 1000


@pytest.mark.parametrize("messages", [[1] * 500_000, [{}] * 2048, [TURN] * 2049, [[TURN]] * 2000, []])
def test_too_many_turns_are_refused_at_the_first_error(messages: Any) -> None:
    started = time.process_time()
    error = refusal(ChatRequest, TALK | {"messages": messages})
    assert time.process_time() - started < 0.5
    assert len(str(error)) < 1000


def test_no_neutral_field_is_also_a_field() -> None:
    assert not set(COMPLETION) & set(CompletionRequest.model_fields)
    assert not set(CHAT) & set(ChatRequest.model_fields)
    assert set(COMMON) <= set(CHAT)


def nested(schema: Any, levels: int) -> Any:
    for _ in range(levels):
        schema = {"items": schema}
    return schema


A_SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {}}, "required": ["b"]}


def test_a_schema_reaches_the_backend_with_its_keys_in_their_order() -> None:
    named = {"type": "json_schema", "json_schema": {"name": "record", "schema": A_SCHEMA, "strict": None}}
    asked = parse(CompletionRequest, COMPLETE | {"response_format": named}).to_generation()
    assert asked.schema == json.dumps(A_SCHEMA, separators=(",", ":"))
    any_object = parse(ChatRequest, TALK | {"response_format": {"type": "json_object"}}).to_generation("hi")
    assert any_object.schema == '{"type":"object"}'
    assert parse(ChatRequest, TALK | {"response_format": {"type": "text"}}).to_generation("hi").schema == ""


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"type": "xml"}, "response_format.type"),
        ({"type": "text", "more": 1}, "response_format.more"),
        ({"type": "json_schema"}, "response_format"),
        ({"type": "json_object", "json_schema": {"name": "a", "schema": {}}}, "response_format"),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, "response_format.json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": []}}, "response_format.json_schema.schema"),
    ],
)
def test_a_response_format_that_is_none_is_refused_by_its_field(given: Any, param: str) -> None:
    assert refusal(ChatRequest, TALK | {"response_format": given}).param == param


@pytest.mark.parametrize(
    ("schema", "word"), [({"description": "x" * 70_000}, "70,"), (nested({}, 40), "41 levels deep, at most 32")]
)
def test_a_schema_beyond_the_bounds_is_refused_with_its_size(schema: Any, word: str) -> None:
    named = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    with pytest.raises(RequestError, match=word) as caught:
        parse(ChatRequest, TALK | {"response_format": named}).to_generation("hi")
    assert caught.value.param == "response_format.json_schema.schema"
