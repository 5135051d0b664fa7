"""Two answers to one question are read as a conversation with a rejected answer, or set aside with the reason."""

from typing import Any

import pytest

from ropewalk.corpus.reading.records import Content, Flaw, Record, content_of
from ropewalk.recipes.recipe import SourceRecipe

ASKED = [{"role": "user", "content": "How many?"}]


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


def read(record: dict[str, Any], **fields: Any) -> Content | Flaw:
    return content_of(Record(record, 1), SourceRecipe(path="/d", licence="MIT", format="preferences", **fields))


@pytest.mark.parametrize(
    "record",
    [
        {"input": "How many?", "chosen": {"n": 1}, "rejected": "one"},
        {"messages": ASKED, "chosen": '{"n":1}', "rejected": "one"},
        {"prompt": "How many?", "chosen": '{"n":1}', "rejected": "one", "score_chosen": 0.9},
        {"prompt": ASKED, "chosen": said('{"n":1}'), "rejected": said("one")},
        {"chosen": ASKED + said('{"n":1}'), "rejected": ASKED + said("one")},
        {"prompt": "How many?", "chosen": ASKED + said('{"n":1}'), "rejected": ASKED + said("one")},
        {"messages": ASKED + said("n"), "chosen": ASKED + said('{"n":1}'), "rejected": ASKED + said("one")},
    ],
)
def test_our_shapes_and_those_of_trl_are_the_same_pair(record: dict[str, Any]) -> None:
    found = read(record, system="As JSON:")
    assert isinstance(found, Content)
    assert [(turn.role, turn.content) for turn in found.messages] == [
        ("system", "As JSON:"),
        ("user", "How many?"),
        ("assistant", '{"n":1}'),
    ]
    assert found.rejected == "one"
    wanted = read({"input": "How many?", "chosen": '{"n":1}', "rejected": "one"}, system="As JSON:")
    assert found == wanted


def test_of_a_longer_conversation_the_last_answer_alone_is_learnt_and_its_own_system_stays() -> None:
    before = [{"role": "system", "content": "Be short."}, *ASKED, *said("Of what?"), *ASKED]
    found = read({"messages": before, "chosen": "1", "rejected": "2"}, system="As JSON:")
    assert isinstance(found, Content)
    assert [turn.weight for turn in found.messages if turn.role == "assistant"] == [0, 1]
    assert found.messages[0].content == "Be short."


@pytest.mark.parametrize(
    ("chosen", "why"), [({"n": float("nan")}, "JSON cannot say"), ({"n": b"1"}, "JSON cannot say")]
)
def test_an_answer_that_is_no_json_is_set_aside(chosen: object, why: str) -> None:
    found = read({"input": "a", "chosen": chosen, "rejected": "b"})
    assert isinstance(found, Flaw)
    assert why in str(found)


def test_pairs_about_one_input_are_held_out_together_and_differ_by_either_answer() -> None:
    one, other = (read({"input": "a", "chosen": "x", "rejected": each}) for each in ("y", "z"))
    assert isinstance(one, Content)
    assert isinstance(other, Content)
    assert one.split_key == other.split_key
    assert one.doc_id != other.doc_id


@pytest.mark.parametrize(
    ("record", "part"),
    [
        ({"input": "a", "chosen": "x", "rejected": "x"}, "are equal, so neither is preferred"),
        ({"input": "a", "chosen": "x"}, "with the answer 'rejected': turn 1 has an empty content"),
        ({"input": "a", "chosen": 7, "rejected": "x"}, "with the answer 'chosen': turn 1 has an empty content"),
        ({"chosen": "x", "rejected": "y"}, "nothing is asked before the two answers"),
        ({"input": 7, "chosen": "x", "rejected": "y"}, "what was asked is neither a text nor turns but 7"),
        ({"messages": ["hm"], "chosen": "x", "rejected": "y"}, "turn 0 is no object with role and content"),
        ({"chosen": ASKED + said("x"), "rejected": said("y")}, "the turns before the last one differ"),
        ({"prompt": ASKED, "chosen": ASKED, "rejected": said("y")}, "with the answer 'chosen': no turn of the"),
        ({"prompt": ASKED + said("a"), "chosen": ASKED, "rejected": said("y")}, "is not the assistant's"),
        ({"input": "a", "chosen": "x", "rejected": "y", "tools": [1]}, "the record offers 'tools'"),
    ],
)
def test_a_record_without_two_answers_to_one_question_is_set_aside(record: dict[str, Any], part: str) -> None:
    found = read(record)
    assert isinstance(found, Flaw)
    assert part in found.detail
