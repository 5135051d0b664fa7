"""What a model wrote judges nothing and teaches nothing of what judges."""

import random
from dataclasses import replace

from ropewalk.corpus.trained import KEPT
from ropewalk.preprocessing.adapters.sketching import sketch
from ropewalk.preprocessing.domain.held_out import Registry
from ropewalk.preprocessing.domain.states import HELD_OUT, DocumentFacts, first_states

OWN = DocumentFacts(
    segment=0, place=0, doc_id="", path="a.jsonl", num_bytes=1, content="", is_conversation=True, scores={}
)


def an_entry(number: int, split_key: str, **fields: object) -> DocumentFacts:
    named = {"place": number, "doc_id": f"{number:04}", "content": f"content {number}", "split_key": split_key}
    return replace(OWN, **named, **fields)


def a_text(seed: int) -> str:
    chooser = random.Random(seed)
    return " ".join(f"w{chooser.randrange(5000)}" for _ in range(200))


def test_what_was_made_from_a_held_out_example_or_with_its_input_is_neither_learnt_nor_judges() -> None:
    own = [an_entry(number, f"input {number}") for number in range(50)]
    made = [an_entry(50 + n, f"new {n}", is_synthetic=True, origin=f"input {n}") for n in range(50)]
    same = [an_entry(100 + n, f"input {n}", is_synthetic=True) for n in range(50)]
    _, signatures = sketch(a_text(number) for number in range(150))
    states = first_states([*own, *made, *same], signatures, "code", 0.1, Registry())
    assert states[:50].count(HELD_OUT) == 10
    expected = [KEPT if state == KEPT else "contaminated" for state in states[:50]]
    assert states[50:] == [*expected, *expected]
