"""A Hugging Face Qwen3 model from plain numbers, with our own initialisation.

Qwen3 has RMSNorm, rotary positions and QK-norm, and is loaded as it is by transformers and vLLM. The
initialisation is a pure function of (parameter name, shape, seed), so every rank of every world size builds the
same model without a broadcast.
"""

import hashlib
from dataclasses import dataclass

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

_ZERO_OUTPUTS = ("o_proj.weight", "down_proj.weight")  # every block starts as the identity (GPT-NeoX, muP practice)
_EMBEDDING_STD = 0.02
_CPU = torch.device("cpu")
_HEAD_STD = 0.002  # nearly uniform first predictions: the first loss is ln(vocabulary)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The numbers that fix an architecture. `context_length` in tokens."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    context_length: int
    eos_id: int = 0


def model_config(shape: Shape) -> Qwen3Config:
    """The Hugging Face configuration. No padding id: `nn.Embedding` would never train the row of that token."""
    return Qwen3Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.context_length,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=False,
        attention_dropout=0.0,
        bos_token_id=None,
        eos_token_id=shape.eos_id,
        pad_token_id=None,
        dtype="float32",
        architectures=["Qwen3ForCausalLM"],
    )


def build_model(shape: Shape, seed: int, device: torch.device = _CPU) -> Qwen3ForCausalLM:
    """A freshly initialised fp32 model, equal in every process on the same kind of device."""
    with device:
        model = Qwen3ForCausalLM._from_config(model_config(shape), attn_implementation="sdpa", dtype=torch.float32)
    initialise(model, seed)
    return model


@torch.no_grad()
def initialise(model: torch.nn.Module, seed: int) -> None:
    """Overwrite all weights: norms 1, block outputs 0, other matrices N(0, 1/fan_in)."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            parameter.fill_(1.0)
        elif name.endswith(_ZERO_OUTPUTS):
            parameter.zero_()
        else:
            parameter.normal_(0.0, _std(name, parameter.shape[1]), generator=generator_of(name, seed, parameter.device))


def num_parameters(model: torch.nn.Module) -> int:
    """All weights, trainable or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def _std(name: str, fan_in: int) -> float:
    if "embed_tokens" in name:
        return _EMBEDDING_STD
    if "lm_head" in name:
        return _HEAD_STD
    return float(fan_in**-0.5)


def generator_of(name: str, seed: int, device: torch.device = _CPU) -> torch.Generator:
    """The random numbers of one parameter, the same in every process."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))
