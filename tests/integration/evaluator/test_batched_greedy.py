"""Own batched generation against transformers' greedy `generate`, on a tiny random model."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ropewalk.evaluator.adapters import batched_greedy
from ropewalk.evaluator.adapters.batched_greedy import GreedyAnswers

MAX_NEW = 24


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=200,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    model = LlamaForCausalLM(config).eval()
    for weights in model.parameters():
        weights.data.normal_(0, 0.2)
    return model


def prompts_of(num: int, shared: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 30, (num,), generator=draw).tolist()
    beginning = torch.randint(3, 200, (shared,), generator=draw).tolist()
    return [beginning + torch.randint(3, 200, (length,), generator=draw).tolist() for length in lengths]


def answers(model: LlamaForCausalLM, prompts: list[list[int]], ends: set[int]) -> list[list[int]]:
    return GreedyAnswers(model, prompts, MAX_NEW, ends).to(prompts)


def by_transformers(model: LlamaForCausalLM, prompt: list[int], ends: set[int]) -> list[int]:
    ids = torch.tensor([prompt])
    said = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=MAX_NEW,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=0,
    )
    return said[0, len(prompt) :].tolist()


@pytest.mark.parametrize("shared", [0, 40])
def test_answers_of_a_batch_are_those_of_transformers_one_by_one(model, shared: int, monkeypatch) -> None:
    monkeypatch.setattr(batched_greedy, "MOST_ROWS", 8)
    monkeypatch.setattr(batched_greedy, "_ROOM", 5)  # so that a cache grows on the way
    prompts = prompts_of(20, shared)
    free = answers(model, prompts, {199})
    ends = {said[5 + place % 9] for place, said in enumerate(free) if place % 3}  # so that rows end at other times
    found = answers(model, prompts, ends)
    assert found == [by_transformers(model, prompt, ends) for prompt in prompts]
    assert len({len(said) for said in found}) > 3
    assert all(said[-1] in ends or len(said) == MAX_NEW for said in found)


def test_one_prompt_and_equal_prompts_are_answered_too(model) -> None:
    (prompt,) = prompts_of(1, 4)
    (alone,) = answers(model, [prompt], {0})
    assert answers(model, [prompt, prompt], {0}) == [alone, alone]
    assert alone == by_transformers(model, prompt, {0})
    assert answers(model, [], {0}) == []
