"""A conversation is read right, or set aside with the turn and the true reason."""

import json
from typing import Any

import pytest

from ropewalk.corpus.document import ChatMessage, Document
from ropewalk.corpus.reading.readers.jsonl import load
from ropewalk.corpus.reading.records import Content, Flaw, content_of
from ropewalk.recipes.recipe import SourceRecipe

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "ho"}


def parsed(turns: list[Any], **fields: Any) -> Content | Flaw:
    found = load(json.dumps({"messages": turns, **fields}).encode())
    return found if isinstance(found, Flaw) else content_of(found, SourceRecipe(path="/data", licence="MIT"))


@pytest.mark.parametrize(
    ("turns", "messages"),
    [
        ([ANSWER, USER, ANSWER], [("assistant", "ho"), ("user", "hi"), ("assistant", "ho")]),
        (
            [{"role": "developer", "content": "be kind"}, USER, ANSWER],
            [("system", "be kind"), ("user", "hi"), ("assistant", "ho")],
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}, ANSWER],
            [("user", "a b"), ("assistant", "ho")],
        ),
        ([USER, ANSWER | {"tool_calls": []}], [("user", "hi"), ("assistant", "ho")]),
        ([USER, ANSWER | {"tool_calls": None, "name": None, "weight": 1}], [("user", "hi"), ("assistant", "ho")]),
    ],
)
def test_what_openai_writes_is_read(turns: list[Any], messages: list[tuple[str, str]]) -> None:
    content = parsed(turns)
    assert isinstance(content, Content)
    assert [(turn.role, turn.content) for turn in content.messages] == messages


@pytest.mark.parametrize(
    ("turns", "detail"),
    [
        ([USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}], "turn 1 has tool_calls"),
        ([USER, {"role": "assistant", "content": "x", "function_call": {"name": "f"}}], "turn 1 has function_call"),
        ([USER, ANSWER, {"role": "tool", "content": "3", "tool_call_id": "1"}], "turn 2 answers a tool"),
        ([USER, {"role": "assistant", "content": None}], "turn 1 has no content (null)"),
        ([USER, {"role": "assistant", "content": " \n"}], "turn 1 has an empty content"),
        ([USER, {"role": "assistant", "content": []}], "turn 1 has an empty content"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER],
            "turn 0 has a part of the kind 'image_url'",
        ),
        ([{"role": "user", "content": ["hi"]}, ANSWER], "turn 0 has a part of the kind 'hi'"),
        ([{"role": "user", "content": {"text": "hi"}}, ANSWER], "turn 0 needs a text as content"),
        ([{"role": ["user"], "content": "hi"}, ANSWER], "turn 0 needs a role of system/developer/user/assistant"),
        ([USER | {"name": 3}, ANSWER], "turn 0 has the name 3"),
        ([USER, ANSWER | {"weight": 0.5}], "turn 1 has the weight 0.5"),
        ([USER, ANSWER | {"weight": 0}], "every turn of the assistant has the weight 0"),
        ([USER], "no turn of the assistant"),
        ([], "no turn of the assistant"),
        ([None, ANSWER], "turn 0 is no object"),
        ([{"role": "x" * 9999, "content": "hi"}], "turn 0 needs a role"),
    ],
)
def test_what_would_be_lost_sets_the_conversation_aside_with_its_reason(turns: list[Any], detail: str) -> None:
    flaw = parsed(turns)
    assert isinstance(flaw, Flaw)
    assert flaw.reason == "bad_messages"
    assert detail in flaw.detail
    assert len(flaw.detail) < 1000


def test_a_record_that_offers_tools_says_that_they_cannot_be_learnt() -> None:
    flaw = parsed([USER, ANSWER], tools=[{"type": "function"}])
    assert isinstance(flaw, Flaw)
    assert "offers 'tools'" in flaw.detail
    assert isinstance(parsed([USER, ANSWER], tools=None), Content)


def test_names_and_weights_stay_with_their_turns_and_change_the_identity() -> None:
    plain, named = parsed([USER, ANSWER, ANSWER]), parsed([USER | {"name": "ann"}, ANSWER | {"weight": 0}, ANSWER])
    assert isinstance(plain, Content)
    assert isinstance(named, Content)
    assert plain.doc_id != named.doc_id
    assert named.messages[0] == ChatMessage(role="user", content="hi", name="ann")
    assert [turn.weight for turn in named.messages] == [1, 0, 1]
    document = Document(
        doc_id="d", source_id="s", path="p", licence="l", fetched_at="", num_bytes=1, messages=named.messages
    )
    assert Document.from_record(document.as_record()) == document


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"reasoning_content": "because"}, "reasoning_content"),
        ({"thinking": "because"}, "thinking"),
        ({"thinking_blocks": [{"type": "thinking"}]}, "thinking_blocks"),
        ({"images": ["a.png"]}, "images"),
        ({"audio": {"id": "x"}}, "audio"),
        ({"refusal": "I will not"}, "refusal"),
        ({"refusal": "I will not", "content": None}, "refusal"),
        ({"prefix": True}, "prefix"),
        ({"mask": False}, "mask"),
        ({"x" * 9999: 1}, "xxx"),
    ],
)
def test_a_field_of_a_turn_that_would_be_lost_is_named(extra: dict[str, Any], field: str) -> None:
    flaw = parsed([USER, ANSWER | extra])
    assert isinstance(flaw, Flaw)
    assert flaw.reason == "bad_messages"
    assert f"turn 1 has the field '{field}" in flaw.detail
    assert len(flaw.detail) < 500


@pytest.mark.parametrize(
    "extra",
    [
        {"refusal": None, "audio": None, "annotations": [], "images": [], "reasoning_content": ""},
        {"id": "m1", "timestamp": 1700000000, "metadata": {"a": 1}, "model": "m"},
        {"prefix": False},
        {"train": True, "loss": 1},
    ],
)
def test_a_field_of_a_turn_that_is_empty_or_only_describes_it_is_passed_over(extra: dict[str, Any]) -> None:
    content = parsed([USER, ANSWER | extra], id="c1", source="forum", created_at="2026-01-01")
    assert isinstance(content, Content)
    assert [turn.weight for turn in content.messages] == [1, 1]


@pytest.mark.parametrize("extra", [{"train": False}, {"loss": False}, {"loss": 0}, {"weight": 1, "train": False}])
def test_an_answer_not_to_be_trained_on_is_read_and_not_learnt(extra: dict[str, Any]) -> None:
    content = parsed([USER, ANSWER | extra, USER, ANSWER])
    assert isinstance(content, Content)
    assert [turn.weight for turn in content.messages] == [1, 0, 1, 1]
    nothing = parsed([USER, ANSWER | extra])
    assert isinstance(nothing, Flaw)
    assert "nothing to learn" in nothing.detail


@pytest.mark.parametrize("extra", [{"train": "no"}, {"loss": 0.3}, {"train": []}])
def test_a_wish_about_learning_that_is_not_understood_sets_the_conversation_aside(extra: dict[str, Any]) -> None:
    flaw = parsed([USER, ANSWER | extra])
    assert isinstance(flaw, Flaw)
    assert f"turn 1 has the {next(iter(extra))} " in flaw.detail


@pytest.mark.parametrize("field", ["system", "system_prompt"])
def test_a_system_text_beside_the_turns_is_their_first_turn(field: str) -> None:
    content = parsed([USER, ANSWER], **{field: "be kind"})
    assert isinstance(content, Content)
    assert content.messages[0] == ChatMessage(role="system", content="be kind")
    parts = parsed([USER, ANSWER], system=[{"type": "text", "text": "be kind"}])
    assert isinstance(parts, Content)
    assert parts.doc_id == content.doc_id
    assert parsed([USER, ANSWER], **{field: ""}) == parsed([USER, ANSWER], **{field: None}) == parsed([USER, ANSWER])


@pytest.mark.parametrize("first", ["system", "developer"])
def test_a_system_text_beside_the_turns_and_another_one_among_them_are_not_mixed(first: str) -> None:
    turns = [{"role": first, "content": "be kind"}, USER, ANSWER]
    flaw = parsed(turns, system="be evil")
    assert isinstance(flaw, Flaw)
    assert "'system'" in flaw.detail
    assert parsed(turns, system="be kind") == parsed(turns)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"system": 3}, "'system' needs a text"),
        ({"system": "a\0b"}, "'system' has a NUL character"),
        ({"images": ["a.png"]}, "'images'"),
        ({"documents": [{"text": "x"}]}, "'documents'"),
    ],
)
def test_a_field_beside_the_turns_that_would_be_lost_is_named(fields: dict[str, Any], detail: str) -> None:
    flaw = parsed([USER, ANSWER], **fields)
    assert isinstance(flaw, Flaw)
    assert detail in flaw.detail


@pytest.mark.parametrize(
    "blank", ["\u200b", "\ufeff \u200d", "\u00a0\u2060", "\u3164", "\u2800", "\u00ad", "\ufffe\uffff"]
)
def test_an_answer_that_nobody_can_see_is_no_content(blank: str) -> None:
    flaw = parsed([USER, ANSWER | {"content": blank}])
    assert isinstance(flaw, Flaw)
    assert "turn 1 has an empty content" in flaw.detail
    seen = parsed([USER, ANSWER | {"content": f"{blank}\u06f1"}])
    assert isinstance(seen, Content)
