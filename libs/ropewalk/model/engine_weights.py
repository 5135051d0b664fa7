"""Read a Hugging Face folder (config.json + safetensors) into the tensors that the decoder wants.

Covers the Llama family as Qwen3, Qwen2, Llama and Mistral name it: RMSNorm, rotary positions, grouped queries,
SwiGLU, optional query/key norms and biases, tied or own head. Anything else is refused, never approximated.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ropewalk.model.adapter_files import CONFIG, read_config
from ropewalk.model.errors import ModelError
from ropewalk.model.families import rope_of, why_not_served

_Added = dict[str, tuple[Tensor, Tensor]]  # by module: (R, E) and (N, R)


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
class Projection:
    """Matrices whose outputs stand one after the other, and what an adapter adds (LoRA, arXiv 2106.09685)."""

    parts: tuple[Tensor, ...]  # (N_i, E)
    bias: Tensor | None = None  # (N,)
    down: Tensor | None = None  # (R, E)
    up: Tensor | None = None  # (N, R), scaled

    def __call__(self, hidden: Tensor) -> Tensor:
        """(B, E) to (B, N)."""
        if len(self.parts) == 1:
            made = F.linear(hidden, self.parts[0], self.bias)
        else:
            made = torch.cat([F.linear(hidden, part) for part in self.parts], -1)
            made = made if self.bias is None else made + self.bias
        return made if self.down is None or self.up is None else made + F.linear(F.linear(hidden, self.down), self.up)


@dataclass(frozen=True)
class Layer:
    """One block; absent norms are None."""

    input_norm: Tensor
    qkv: Projection
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: Projection
    post_norm: Tensor
    gate_up: Projection
    down: Projection


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


def read_weights(folder: Path, shape: Architecture, adapted: Path | None = None) -> Weights:
    """Load and convert to float32. Raises UnsupportedModelError when a tensor is missing.

    Matrices are fused for speed, but not under an adapter (of the folder `adapted`): those that are float32 already
    stay mapped from the file, so all processes with adapters for one base share its memory.
    """
    added = None if adapted is None else _low_ranks(adapted)
    files = sorted(folder.glob("*.safetensors"))
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= {name: _finite(name, tensor) for name, tensor in load_file(file).items()}
    try:
        embedding = tensors["model.embed_tokens.weight"]
        layers = tuple(_layer(tensors, f"model.layers.{index}.", added) for index in range(shape.num_layers))
        return Weights(embedding, layers, tensors["model.norm.weight"], tensors.get("lm_head.weight", embedding))
    except KeyError as error:
        raise UnsupportedModelError(f"{folder} has no tensor {error} in its {len(files)} safetensors files") from None


def _finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor in float32. One infinite weight makes every answer of the model nonsense, so it is refused."""
    if not bool(tensor.isfinite().all()):
        raise UnsupportedModelError(f"the weights {name} hold numbers that are not finite: the model is broken")
    return tensor.float()


def _layer(tensors: dict[str, Tensor], at: str, added: _Added | None) -> Layer:
    if f"{at}self_attn.o_proj.bias" in tensors or f"{at}mlp.down_proj.bias" in tensors:
        raise UnsupportedModelError("biases of output and MLP projections are not supported")
    qkv = tuple(f"{at}self_attn.{name}_proj" for name in "qkv")
    return Layer(
        input_norm=tensors[f"{at}input_layernorm.weight"],
        qkv=_projection(tensors, qkv, added),
        query_norm=tensors.get(f"{at}self_attn.q_norm.weight"),
        key_norm=tensors.get(f"{at}self_attn.k_norm.weight"),
        output=_projection(tensors, (f"{at}self_attn.o_proj",), added),
        post_norm=tensors[f"{at}post_attention_layernorm.weight"],
        gate_up=_projection(tensors, (f"{at}mlp.gate_proj", f"{at}mlp.up_proj"), added),
        down=_projection(tensors, (f"{at}mlp.down_proj",), added),
    )


def _projection(tensors: dict[str, Tensor], names: tuple[str, ...], added: _Added | None) -> Projection:
    parts = tuple(tensors[f"{name}.weight"] for name in names)
    biases = [tensors[f"{name}.bias"] for name in names if f"{name}.bias" in tensors]
    bias = torch.cat(biases) if biases else None
    if added is None:
        return Projection((torch.cat(parts),) if len(parts) > 1 else parts, bias)
    low = [added.get(name, (part[:0], part[:, :0])) for name, part in zip(names, parts, strict=True)]
    down, up = torch.cat([one for one, _ in low]), torch.block_diag(*(one for _, one in low))
    return Projection(parts, bias, down, up) if len(down) else Projection(parts, bias)


def _low_ranks(adapted: Path) -> _Added:
    """The two matrices that an adapter adds to each module, the second scaled. Raises UnsupportedModelError."""
    config = read_config(adapted)
    saved = load_file((adapted / CONFIG).parent / "adapter_model.safetensors")
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in saved.items():
        module, at, kind = name.removeprefix("base_model.model.").removesuffix(".weight").partition(".lora_")
        if not at or kind not in ("A", "B"):
            raise UnsupportedModelError(f"the adapter's {name} is neither of the two matrices that are added")
        found.setdefault(module, {})[kind] = _finite(name, tensor)
    factor = config["lora_alpha"] / config["r"]
    return {module: (pair["A"], factor * pair["B"]) for module, pair in found.items()}


def _eos_ids(folder: Path, config: dict[str, Any]) -> frozenset[int]:
    """generation_config.json wins over config.json, as in transformers."""
    generation = _read_json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    eos = generation.get("eos_token_id", config.get("eos_token_id"))
    return frozenset([eos] if isinstance(eos, int) else eos or [])


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content
