"""The blocks as functions give what transformers gives, in fp32 closely and in fewer bits roughly."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.fast_blocks import BlockPlan, why_not_fast
from ropewalk.model.linear_nats import LinearNats, nats_and_slopes
from ropewalk.model.lora import add_adapters, lora_config
from ropewalk.model.next_token import IGNORED, NextTokenLoss

SHAPE = Shape(
    vocab_size=320,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=96,
    context_length=32,
)


def a_model():
    """Weights that all matter: the fresh ones begin with blocks that do nothing."""
    model = build_model(SHAPE, 3)
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place))
            parameter.add_(noise, alpha=0.05)
    return model


def a_batch():
    generator = torch.Generator().manual_seed(5)
    inputs, targets = (torch.randint(0, SHAPE.vocab_size, (3, 32), generator=generator) for _ in range(2))
    targets[1, 7:20] = IGNORED
    return inputs, targets


def loss_and_gradients(plan, *, recompute=False):
    model = a_model().train()
    nats = NextTokenLoss(model, plan, recompute=recompute)(*a_batch())
    (nats / 80).backward()
    return nats.item(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("plan", "tolerance"),
    [
        (BlockPlan(dtype=torch.float32), 1e-5),
        (BlockPlan(dtype=torch.bfloat16), 0.05),
        (BlockPlan(dtype=torch.bfloat16, fp8=True), 0.5),
    ],
)
def test_loss_and_gradients_are_those_of_transformers(plan, tolerance):
    expected, expected_gradients = loss_and_gradients(None)
    nats, gradients = loss_and_gradients(plan)
    assert nats == pytest.approx(expected, rel=tolerance / 50)
    for name, gradient in gradients.items():
        wanted = expected_gradients[name]
        assert gradient.dtype == torch.float32
        assert (gradient - wanted).norm() <= tolerance * wanted.norm(), name


@pytest.mark.parametrize("plan", [None, BlockPlan(dtype=torch.bfloat16)])
def test_a_block_that_is_computed_again_in_the_backward_pass_gives_the_same_bits(plan):
    kept, again = (loss_and_gradients(plan, recompute=recompute) for recompute in (False, True))
    assert again[0] == kept[0]
    assert all(torch.equal(again[1][name], gradient) for name, gradient in kept[1].items())


def test_a_wide_model_multiplies_apart_what_a_narrow_one_joins(monkeypatch):
    joined = loss_and_gradients(BlockPlan(dtype=torch.float32))
    monkeypatch.setattr("ropewalk.model.fast_blocks._FUSED_WIDTH", 0)
    apart = loss_and_gradients(BlockPlan(dtype=torch.float32))
    assert apart[0] == pytest.approx(joined[0], rel=1e-6)


def test_names_of_weights_stay_those_of_hugging_face():
    model = a_model()
    names = [name for name, _ in model.named_parameters()]
    NextTokenLoss(model, BlockPlan(dtype=torch.bfloat16))
    assert [name for name, _ in model.named_parameters()] == names


def test_a_model_of_another_family_is_computed_as_transformers_does_with_a_loss_in_fp32():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_positions=32, n_embd=32, n_layer=1, n_head=2)).eval()
    assert why_not_fast(model) == "its family is gpt2, not qwen3 or llama or mistral"
    inputs, targets = a_batch()
    nats = NextTokenLoss(model, BlockPlan(dtype=torch.bfloat16))(inputs, targets)
    assert nats.dtype == torch.float32
    expected = torch.nn.functional.cross_entropy(
        model(inputs).logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    assert nats.item() == pytest.approx(expected.item(), rel=1e-2)


@pytest.mark.parametrize("rows", [7, 16, 1000])
def test_a_loss_in_pieces_is_the_loss_of_the_whole(monkeypatch, rows):
    monkeypatch.setattr("ropewalk.model.linear_nats._ROWS", rows)
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(0, 50, (40,))
    targets[3:9] = IGNORED
    nats = LinearNats.apply(hidden, weight, targets, nats_and_slopes)
    (nats * 0.25).backward()
    mine = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, ignore_index=IGNORED, reduction="sum")
    (expected * 0.25).backward()
    assert nats.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(mine, (hidden.grad, weight.grad))


def test_a_loss_of_targets_that_do_not_count_is_zero_and_moves_nothing():
    hidden, weight = torch.randn(4, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    nats = LinearNats.apply(hidden, weight, torch.full((4,), IGNORED), nats_and_slopes)
    nats.backward()
    assert nats.item() == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()


@pytest.mark.parametrize("plan", [None, BlockPlan(dtype=torch.float32)])
def test_logits_at_chosen_places_are_those_of_transformers_there(plan):
    inputs, _ = a_batch()
    places = torch.tensor([[2, 5], [0, 31], [0, 5], [1, 0]])
    wanted = a_model().train()(input_ids=inputs).logits[places[:, 0], places[:, 1]]
    found = NextTokenLoss(a_model().train(), plan).logits_at(inputs, places)
    assert found.requires_grad
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def a_llama(adapter=""):
    config = LlamaConfig(
        vocab_size=SHAPE.vocab_size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=32,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 100_000.0},
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    if adapter:
        add_adapters(model, lora_config(rank=4, targets=["q_proj", "v_proj", "down_proj"], dora=adapter == "dora"), 3)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".lora_B." in name or "magnitude" in name:
                    parameter.add_(torch.randn(parameter.shape), alpha=0.1)
    return model.train()


@pytest.mark.parametrize("adapter", ["", "lora", "dora"])
def test_a_llama_with_a_tied_head_learns_as_in_transformers_and_peft(adapter):
    inputs, targets = a_batch()
    assert why_not_fast(a_llama(adapter)) == ""
    found = []
    for plan in (None, BlockPlan(dtype=torch.float32)):
        model = a_llama(adapter)
        nats = NextTokenLoss(model, plan)(inputs, targets)
        nats.backward()
        found.append((nats, {name: parameter.grad for name, parameter in model.named_parameters()}))
    expected = torch.nn.functional.cross_entropy(
        a_llama(adapter)(input_ids=inputs).logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )
    assert [nats.item() for nats, _ in found] == [pytest.approx(expected.item(), rel=1e-6)] * 2
    learnt = {name for name, gradient in found[0][1].items() if gradient is not None}
    assert learnt == {name for name, each in a_llama(adapter).named_parameters() if each.requires_grad}
    torch.testing.assert_close(found[1][1], found[0][1], atol=1e-4, rtol=1e-4)
