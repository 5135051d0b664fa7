"""A model small enough for milliseconds."""

import pytest

from ropewalk.model.architecture import Shape, build_model

SHAPE = Shape(
    vocab_size=97,
    hidden_size=32,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=16,
    intermediate_size=48,
    context_length=16,
)


@pytest.fixture
def shape():
    return SHAPE


@pytest.fixture
def model(shape):
    return build_model(shape, seed=5).eval()


@pytest.fixture
def lively_model(model):
    """A model whose predictions depend on its input: block outputs that are not zero, and a loud head."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 1.0 if "lm_head" in name else 0.3)
    return model
