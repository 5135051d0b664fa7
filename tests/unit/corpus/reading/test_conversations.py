"""A conversation is read right, or set aside with the turn and the true reason."""

import json
from typing import Any

import pytest

from ropewalk.corpus.document import ChatMessage, Document
from ropewalk.corpus.reading.records import Content, Flaw, parse_line

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "ho"}


def parsed(turns: list[Any], **fields: Any) -> Content | Flaw:
    return parse_line(json.dumps({"messages": turns, **fields}).encode(), text_field="text", chat=None)


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
