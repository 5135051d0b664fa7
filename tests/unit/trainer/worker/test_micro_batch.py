"""How many tokens go through the model at a time."""

import pytest

from ropewalk.model.architecture import Shape, model_config
from ropewalk.trainer.adapters.worker.micro_batch import tokens_at_once

GIB = 2**30


def a_config(hidden_size: int, num_layers: int, context_length: int = 2048):
    return model_config(
        Shape(
            vocab_size=32_768,
            hidden_size=hidden_size,
            num_layers=num_layers,
            num_heads=hidden_size // 128,
            num_kv_heads=hidden_size // 256,
            head_dim=128,
            intermediate_size=3 * hidden_size,
            context_length=context_length,
        )
    )


@pytest.mark.parametrize(("hidden_size", "num_layers", "expected"), [(256, 4, 8192), (768, 12, 2048), (768, 30, 1024)])
def test_a_cpu_takes_small_pieces_and_keeps_two_gigabytes_at_most(hidden_size, num_layers, expected):
    assert tokens_at_once(a_config(hidden_size, num_layers), 135_000_000, 0) == expected


@pytest.mark.parametrize(
    ("hidden_size", "num_layers", "weights", "memory_gib", "expected"),
    [
        (768, 12, 135_000_000, 79, 131_072),  # 23.9 GiB were measured at 65,536
        (2048, 16, 940_000_000, 79, 32_768),  # 53.8 GiB were measured
        (2048, 16, 940_000_000, 140, 65_536),
        (768, 12, 135_000_000, 22, 32_768),
        (2048, 16, 940_000_000, 20, 1024),  # does not fit: the smallest try says so itself
    ],
)
def test_a_gpu_takes_what_fits_into_its_memory(hidden_size, num_layers, weights, memory_gib, expected):
    assert tokens_at_once(a_config(hidden_size, num_layers), weights, memory_gib * GIB) == expected
