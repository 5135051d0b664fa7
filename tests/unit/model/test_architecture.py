"""The model that the numbers of a plan give."""

import math

import torch
from transformers import AutoModelForCausalLM

from ropewalk.model.architecture import build_model, num_parameters
from ropewalk.model.weights import save_weights


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(shape):
    first, again, other = (dict(build_model(shape, seed=seed).named_parameters()) for seed in (1, 1, 2))
    assert all(first[name].equal(again[name]) for name in first)
    assert not first["lm_head.weight"].equal(other["lm_head.weight"])


def test_initial_weights_do_not_depend_on_the_global_random_state(shape):
    torch.manual_seed(1)
    first = build_model(shape, seed=1)
    torch.manual_seed(2)
    second = build_model(shape, seed=1)
    assert first.lm_head.weight.equal(second.lm_head.weight)


@torch.no_grad()
def test_a_fresh_model_predicts_all_tokens_alike(model, shape):
    logits = model(input_ids=torch.arange(12)[None]).logits
    loss = torch.nn.functional.cross_entropy(logits[0], torch.arange(12) + 1)
    assert abs(loss.item() - math.log(shape.vocab_size)) < 0.05


def test_blocks_start_as_the_identity(model):
    assert not model.model.layers[0].self_attn.o_proj.weight.any()
    assert not model.model.layers[1].mlp.down_proj.weight.any()


def test_embedding_and_head_are_apart_and_token_zero_is_trained(model, shape):
    assert not model.config.tie_word_embeddings
    loss = model(input_ids=torch.zeros(1, 4, dtype=torch.long)).logits.square().sum()
    loss.backward()
    assert model.model.embed_tokens.weight.grad[0].abs().sum() > 0


def test_the_number_of_parameters_is_that_of_the_formula(model, shape):
    attention = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 2 * 16
    block = attention + 3 * 32 * 48 + 2 * 32
    assert num_parameters(model) == 2 * 97 * 32 + 2 * block + 32


def test_transformers_loads_what_was_saved_and_predicts_the_same(lively_model, tmp_path):
    save_weights(dict(lively_model.named_parameters()), lively_model.config, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = torch.arange(10)[None]
    assert type(loaded).__name__ == "Qwen3ForCausalLM"
    assert loaded(input_ids=ids).logits.equal(lively_model(input_ids=ids).logits)
