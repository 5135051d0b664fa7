"""A document that shares a window with others is computed as if it were alone."""

import pytest
import torch

from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.fast_blocks import BlockPlan
from ropewalk.model.linear_nats import IGNORED
from ropewalk.model.lora import add_adapters, lora_config
from ropewalk.model.next_token import NextTokenLoss

LENGTHS = (9, 14, 2, 7)
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


def a_loss(kind: str) -> NextTokenLoss:
    """Weights that all matter: the fresh ones begin with blocks that do nothing."""
    model = build_model(SHAPE, 3)
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place)), alpha=0.05)
    if kind == "adapters":
        add_adapters(model, lora_config(4, 8, ("q_proj", "v_proj")), 5)
    return NextTokenLoss(model.train(), BlockPlan(dtype=torch.float32) if kind == "fast blocks" else None)


def logits(loss: NextTokenLoss, inputs: torch.Tensor) -> torch.Tensor:
    """At every place of the only row, (T, V): (b, T) or (b, T, 2) as for the loss."""
    return torch.cat([loss(inputs, torch.tensor([[place]])) for place in range(inputs.shape[1])])


def packed(tokens: torch.Tensor) -> torch.Tensor:
    places = torch.cat([torch.arange(length) for length in LENGTHS])
    return torch.stack((tokens, places), dim=-1)[None]


@pytest.mark.parametrize("kind", ["transformers", "fast blocks", "adapters"])
def test_the_logits_of_a_document_in_a_shared_window_are_those_of_the_document_alone(kind: str) -> None:
    loss = a_loss(kind)
    tokens = torch.randint(0, SHAPE.vocab_size, (32,), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        together = logits(loss, packed(tokens))
        alone = torch.cat([logits(loss, document[None]) for document in tokens.split(LENGTHS)])
        unmasked = logits(loss, tokens[None])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert (together[9:] - unmasked[9:]).abs().max() > 0.01


@pytest.mark.parametrize("kind", ["transformers", "fast blocks", "adapters"])
def test_loss_and_gradients_are_the_sums_of_those_of_the_documents(kind: str) -> None:
    generator = torch.Generator().manual_seed(5)
    tokens, targets = (torch.randint(0, SHAPE.vocab_size, (32,), generator=generator) for _ in range(2))
    targets[20:24] = IGNORED
    found = []
    for pieces in (
        [(packed(tokens), targets[None])],
        [
            (one[None], other[None])
            for one, other in zip(tokens.split(LENGTHS), targets.split(LENGTHS), strict=True)
            if (other != IGNORED).any()
        ],
    ):
        loss = a_loss(kind)
        nats = sum(loss(*piece) for piece in pieces)
        nats.backward()
        found.append((nats, [parameter.grad for parameter in loss.parameters() if parameter.grad is not None]))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)
