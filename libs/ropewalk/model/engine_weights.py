"""Read a Hugging Face folder (config.json + safetensors) into the tensors that the decoder wants.

Covers the Llama family as Qwen3, Qwen2, Llama and Mistral name it: RMSNorm, rotary positions, grouped queries,
SwiGLU, optional query/key norms and biases, tied or own head. Anything else is refused, never approximated.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ropewalk.model.errors import ModelError
from ropewalk.model.families import rope_of, why_not_served


class UnsupportedModelError(ModelError, ValueError):
    """The folder holds a model that this decoder cannot run faithfully. The text says what and why."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a decoder. `context_length` in tokens, prompt and completion together.

    `beginning`: what stands before a document, for a prompt that is empty; nothing for a model that has no such token.
    """

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_eps: float
    rope_theta: float
    context_length: int
    eos_ids: frozenset[int]
    beginning: tuple[int, ...] = ()

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of one token in float32."""
        return self.num_layers * self.num_kv_heads * self.head_dim * 2 * 4


@dataclass(frozen=True)
class Layer:
    """One block. `qkv` and `gate_up` are fused row-wise; absent norms and biases are None."""

    input_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: Tensor
    post_norm: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Weights:
    """All tensors in float32. `head` is the embedding itself when tied."""

    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Tensor


def read_architecture(folder: Path) -> Architecture:
    """The shape of the model in `folder`. Raises UnsupportedModelError."""
    config = _read_json(folder / "config.json")
    if reason := why_not_served(config):
        raise UnsupportedModelError(reason)
    heads = config["num_attention_heads"]
    eos_ids = _eos_ids(folder, config)
    return Architecture(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        rms_eps=config.get("rms_norm_eps", 1e-6),
        rope_theta=float(rope_of(config).get("rope_theta", config.get("rope_theta", 10_000.0))),
        context_length=config.get("max_position_embeddings", 2048),
        eos_ids=eos_ids,
        beginning=(config["bos_token_id"],) if config.get("bos_token_id") is not None else tuple(sorted(eos_ids)[:1]),
    )


def read_weights(folder: Path, shape: Architecture) -> Weights:
    """Load, convert to float32 and fuse. Raises UnsupportedModelError when a tensor is missing."""
    files = sorted(folder.glob("*.safetensors"))
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= {name: _finite(name, tensor) for name, tensor in load_file(file).items()}
    try:
        embedding = tensors["model.embed_tokens.weight"]
        layers = tuple(_layer(tensors, f"model.layers.{index}.") for index in range(shape.num_layers))
        return Weights(embedding, layers, tensors["model.norm.weight"], tensors.get("lm_head.weight", embedding))
    except KeyError as error:
        raise UnsupportedModelError(f"{folder} has no tensor {error} in its {len(files)} safetensors files") from None


def _finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor in float32. One infinite weight makes every answer of the model nonsense, so it is refused."""
    if not bool(tensor.isfinite().all()):
        raise UnsupportedModelError(f"the weights {name} hold numbers that are not finite: the model is broken")
    return tensor.float()


def _layer(tensors: dict[str, Tensor], at: str) -> Layer:
    projections = [f"{at}self_attn.{name}_proj" for name in "qkv"]
    biases = [tensors[f"{name}.bias"] for name in projections if f"{name}.bias" in tensors]
    if f"{at}self_attn.o_proj.bias" in tensors or f"{at}mlp.down_proj.bias" in tensors:
        raise UnsupportedModelError("biases of output and MLP projections are not supported")
    return Layer(
        input_norm=tensors[f"{at}input_layernorm.weight"],
        qkv=torch.cat([tensors[f"{name}.weight"] for name in projections]),
        qkv_bias=torch.cat(biases) if biases else None,
        query_norm=tensors.get(f"{at}self_attn.q_norm.weight"),
        key_norm=tensors.get(f"{at}self_attn.k_norm.weight"),
        output=tensors[f"{at}self_attn.o_proj.weight"],
        post_norm=tensors[f"{at}post_attention_layernorm.weight"],
        gate_up=torch.cat([tensors[f"{at}mlp.{name}_proj.weight"] for name in ("gate", "up")]),
        down=tensors[f"{at}mlp.down_proj.weight"],
    )


def _eos_ids(folder: Path, config: dict[str, Any]) -> frozenset[int]:
    """generation_config.json wins over config.json, as in transformers."""
    generation = _read_json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    eos = generation.get("eos_token_id", config.get("eos_token_id"))
    return frozenset([eos] if isinstance(eos, int) else eos or [])


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content
