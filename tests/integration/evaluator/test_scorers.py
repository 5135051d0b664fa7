"""What every scorer promises, on each that there is."""

import pytest

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.adapters.corpus import fit_baselines
from ropewalk.evaluator.adapters.measuring import NgramScorer
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import Continuation, Scorer


def turn(role: str, content: str) -> ChatMessage:
    return ChatMessage(role=role, content=content)


TEXTS = [Item(f"{length}", "a.py", text="def step_1(value):\n    return value\n" * length) for length in (1, 3, 2)]
TALK = Item(
    "talk",
    "t",
    turns=(
        turn("user", "What does step_1 do?"),
        turn("assistant", "return value + 1"),
    ),
)


@pytest.fixture(params=["a model", "an n-gram"])
def scorer(request, world) -> Scorer:
    model = ScoredModel(world.objects.fetch("exports/trained"))
    if request.param == "a model":
        return model
    return NgramScorer(fit_baselines(world.objects.fetch("datasets/v"), model.vocab_size)[0], 3, model)


def test_bits_are_those_of_each_item_in_the_order_of_the_items(scorer: Scorer) -> None:
    items = [*TEXTS, TALK]
    assert all(scorer.takes(item) for item in items)
    bits = scorer.bits(items)
    assert bits is not None
    assert bits[0] < bits[2] < bits[1]
    assert bits == pytest.approx([scorer.bits([item])[0] for item in items], rel=1e-4)
    assert scorer.bits([]) == []


def test_continuations_are_as_many_as_the_items_or_the_scorer_has_none(scorer: Scorer) -> None:
    said = scorer.complete(TEXTS)
    if isinstance(scorer, NgramScorer):
        assert said is None
        return
    assert [type(each) for each in said] == [Continuation] * len(TEXTS)
    assert scorer.complete([]) == []


def test_a_model_whose_context_has_no_room_continues_nothing(world) -> None:
    model = ScoredModel(world.objects.fetch("exports/trained"))
    model.context_length = 48
    assert model.complete(TEXTS) is None
