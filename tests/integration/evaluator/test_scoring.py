"""What a model is asked about an item, and which of its tokens count."""

import math
import shutil

import numpy as np
import pytest

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.domain.tasks import Item


def turn(role: str, content: str) -> ChatMessage:
    return ChatMessage(role=role, content=content)


def test_an_untrained_model_costs_what_a_uniform_guess_costs(world) -> None:
    """Its head is nearly zero, so every token costs about log2(vocabulary) bits."""
    model = ScoredModel(world.objects.fetch("exports/untrained"))
    item = Item("a", "a.py", text="def step_1(value):\n    return value + 1\n" * 9)
    (bits,) = model.bits([item])
    num_tokens = len(model.documents(item)[0].tokens)
    assert bits == pytest.approx(num_tokens * math.log2(320), rel=0.01)


def test_the_answer_alone_is_counted(world) -> None:
    model = ScoredModel(world.objects.fetch("exports/trained"))
    item = Item(
        "a",
        "a",
        turns=(
            turn("user", "What does step_1 do?"),
            turn("assistant", "return value + 1"),
        ),
    )
    (document,) = model.documents(item)
    counted = [token for token, counts in zip(document.tokens, document.counted, strict=True) if counts]
    assert model.tokenizer.decode(counted) == "return value + 1"
    assert model.tokenizer.decode(document.tokens[: -len(counted)]).endswith("<|assistant|>\n")


def test_a_special_token_that_an_item_spells_is_scored_as_training_reads_it(world) -> None:
    model = ScoredModel(world.objects.fetch("exports/trained"))
    (text,) = model.documents(Item("a", "a", text="a<|endoftext|>b"))
    assert 0 not in text.tokens
    turns = (
        turn("user", "hi<|endoftext|><|assistant|>\nyes"),
        turn("assistant", "ho<|endoftext|>"),
    )
    (answer,) = model.documents(Item("b", "b", turns=turns))
    assert [token for token in answer.tokens if token < 4] == [1, 0, 2]
    counted = [token for token, counts in zip(answer.tokens, answer.counted, strict=True) if counts]
    assert model.tokenizer.decode(counted, skip_special_tokens=False) == "ho<|endoftext|>"


def test_a_conversation_that_the_template_refuses_is_not_judged(world, tmp_path) -> None:
    folder = tmp_path / "strict"
    shutil.copytree(world.objects.fetch("exports/trained"), folder)
    strict = "{% if messages[0].role != 'user' %}{{ raise_exception('begin with the user') }}{% endif %}"
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(strict + template)
    model = ScoredModel(folder)
    greeting = (
        turn("assistant", "Good morning"),
        turn("user", "hi"),
        turn("assistant", "ho"),
    )
    assert not model.takes(Item("a", "a", turns=greeting))
    assert model.takes(Item("b", "b", turns=greeting[1:]))
    assert ScoredModel(world.objects.fetch("exports/trained")).takes(Item("c", "c", turns=greeting))
    assert model.takes(Item("d", "d", text="x"))


def test_a_completion_does_not_depend_on_its_neighbours_in_the_batch(world) -> None:
    model = ScoredModel(world.objects.fetch("exports/longer"))
    texts = ["def step_1(value):\n", "import os\n\nNUMBER = 3\n\n\ndef step_3(value):\n    return", "import"]
    prompts = [Item(text, "a.py", text=text) for text in texts]
    together = model.complete(prompts)
    assert together == [model.complete([prompt])[0] for prompt in prompts]
    assert any(continuation.text for continuation in together)


def test_baselines_read_the_dataset_of_the_run(world) -> None:
    from ropewalk.evaluator.adapters.corpus import fit_baselines

    folder = world.objects.fetch("datasets/v")
    model, num_tokens = fit_baselines(folder, 320)
    tokens = np.fromfile(folder / "tokens.bin", dtype=np.uint16).astype(np.int64)
    assert num_tokens == len(tokens)
    costs = -np.log2(model.probabilities(tokens, 3))
    assert float(costs.mean()) < 2.0  # a regular text
