"""Whether rates found at one width hold for others: a coordinate check (Yang et al. 2022, arXiv 2203.03466)."""

import torch

from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.muon import MuonAdamW, Rates

WIDTHS, STEPS, CONTEXT = (32, 64, 128), 10, 32


def changes_of_activations(width: int, rates: Rates) -> list[float]:
    """How far ten steps move what each block gives: the root mean square of the difference, over all its numbers."""
    heads = width // 16
    shape = Shape(
        vocab_size=300,
        hidden_size=width,
        num_layers=2,
        num_heads=heads,
        num_kv_heads=heads // 2,
        head_dim=16,
        intermediate_size=3 * width,
        context_length=CONTEXT,
    )
    model = build_model(shape, seed=5)
    optimizer = MuonAdamW(model.named_parameters(), rates)
    tokens = torch.randint(300, (8, CONTEXT), generator=torch.Generator().manual_seed(3))
    before = hidden_states(model, tokens)
    for _ in range(STEPS):
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step(1.0)
        optimizer.zero_grad()
    after = hidden_states(model, tokens)
    return [float((b - a).square().mean().sqrt()) for a, b in zip(before, after, strict=True)]


@torch.no_grad()
def hidden_states(model: torch.nn.Module, tokens: torch.Tensor) -> list[torch.Tensor]:
    """What each block gives, (B, T, D), the embedding left out."""
    return list(model(input_ids=tokens, output_hidden_states=True).hidden_states[1:])


def test_the_derived_rates_move_activations_alike_at_three_widths() -> None:
    rates = Rates(matrix_lr=0.02, adam_lr=0.01, weight_decay=0.1)
    moved = [changes_of_activations(width, rates) for width in WIDTHS]
    for layer in zip(*moved, strict=True):
        assert max(layer) / min(layer) < 1.6
