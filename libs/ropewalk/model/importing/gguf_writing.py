"""Writes a Hugging Face folder of the families we serve as one GGUF file, with tokenizer, template and licence.

Weights in float32, or in blocks of 32 eight-bit numbers with a common factor (Q8_0) where rows can be cut so. Names and
layout are those of llama.cpp's converter, so that llama.cpp, Ollama and transformers read it.
"""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import TokenType
from numpy.typing import NDArray
from tokenizers import Tokenizer, pre_tokenizers
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from ropewalk.model.chat.folder import read_chat_folder
from ropewalk.model.engine_weights import Architecture, read_architecture
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.importing.folders import read_json
from ropewalk.model.weight_files import weight_files
from ropewalk.model.weights import load_tensors

_ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}
_BLOCK = 32  # numbers that share a factor in Q8_0
_COMMON = ("llama-bpe", "qwen2")  # of several names for the same way to split


def write_gguf(folder: Path, path: Path, *, name: str, licence: str, eight_bits: bool) -> None:
    """Write the model in `folder` to `path`. Raises RefusedError, UnsupportedModelError, OSError."""
    shape, config = read_architecture(folder), read_json(folder / "config.json")
    architecture = _ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_name(name)
    writer.add_license(licence)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if eight_bits else gguf.LlamaFileType.ALL_F32)
    _add_shape(writer, shape, config)
    _add_tokenizer(writer, folder, shape)
    names = gguf.get_tensor_name_map(architecture, shape.num_layers)
    for file in weight_files(folder):
        for own, tensor in load_tensors(file).items():
            if own == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            foreign = names.get_name(own, try_suffixes=(".weight", ".bias"))
            if foreign is None:
                raise RefusedError(f"GGUF has no name for its tensor {own}")
            if architecture is gguf.MODEL_ARCH.LLAMA:
                tensor = _in_pairs(own, tensor, shape)
            _add_tensor(writer, foreign, tensor.float().numpy(), eight_bits=eight_bits)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: Any, shape: Architecture, config: dict[str, Any]) -> None:
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.rms_eps)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_vocab_size(shape.vocab_size)


def _add_tensor(writer: Any, name: str, values: NDArray[np.float32], *, eight_bits: bool) -> None:
    if eight_bits and values.ndim == 2 and values.shape[-1] % _BLOCK == 0:
        writer.add_tensor(name, gguf.quants.quantize(values, Kind.Q8_0), raw_dtype=Kind.Q8_0)
    else:
        writer.add_tensor(name, np.ascontiguousarray(values))


def _in_pairs(name: str, tensor: torch.Tensor, shape: Architecture) -> torch.Tensor:
    """llama.cpp turns neighbours, transformers halves: the rows of queries and keys change places for that."""
    heads = {"q_proj": shape.num_heads, "k_proj": shape.num_kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return tensor
    return tensor.view(heads, 2, shape.head_dim // 2, -1).transpose(1, 2).reshape(tensor.shape)


def _add_tokenizer(writer: Any, folder: Path, shape: Architecture) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    pre = _pre_tokenizer(tokenizer)
    added = {int(token["id"]): token for token in tokenizer.get("added_tokens") or ()}
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    if odd := next((token["content"] for token in added.values() if not set(token["content"]) <= alphabet), ""):
        raise RefusedError(f"its token {odd[:40]!r} cannot be told from text in GGUF")
    spelt = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    spelt |= {number: token["content"] for number, token in added.items()}
    tokens = [spelt.get(number, f"[PAD{number}]") for number in range(shape.vocab_size)]
    merges = [each if isinstance(each, str) else " ".join(each) for each in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([_type_of(number, spelt, added) for number in range(shape.vocab_size)])
    writer.add_token_merges(merges)
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(_end(folder, shape))
    variables = read_chat_folder(folder).variables
    known = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for role, add in (
        ("bos", writer.add_bos_token_id),
        ("unk", writer.add_unk_token_id),
        ("pad", writer.add_pad_token_id),
    ):
        if (number := known.token_to_id(variables.get(f"{role}_token", ""))) is not None:
            add(number)
    if template := read_chat_folder(folder).template:
        writer.add_chat_template(template)


def _type_of(number: int, spelt: dict[int, str], added: dict[int, Any]) -> TokenType:
    if number in added:
        return TokenType.CONTROL if added[number].get("special") else TokenType.USER_DEFINED
    return TokenType.NORMAL if number in spelt else TokenType.UNUSED


def _end(folder: Path, shape: Architecture) -> int:
    """GGUF has one end token: that which the tokenizer names, of several that end an answer."""
    known = Tokenizer.from_file(str(folder / "tokenizer.json"))
    named = known.token_to_id(read_chat_folder(folder).variables.get("eos_token", ""))
    if named in shape.eos_ids and named is not None:
        return named
    if not shape.eos_ids:
        raise RefusedError("it names no token that ends a text")
    return min(shape.eos_ids)


def _pre_tokenizer(tokenizer: dict[str, Any]) -> str:
    """GGUF's name for how a text is cut before the merges. Raises RefusedError if it has none that we know."""
    given = tokenizer.get("pre_tokenizer") or {}
    parts = given.get("pretokenizers", [given])
    kinds = [part.get("type") for part in parts]
    plain = tokenizer["model"].get("type") == "BPE" and parts[-1].get("add_prefix_space") is False
    if plain and kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
        return "gpt-2"
    if plain and kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits") and parts[1].get("use_regex"):
        return "smollm"
    if plain and kinds == ["Split", "ByteLevel"] and not parts[1].get("use_regex"):
        pattern = parts[0].get("pattern", {}).get("Regex")
        found = [name for name, split in GGUF_PRE_TOKENIZER_SPLITS.items() if split == pattern]
        if found:
            return next((name for name in _COMMON if name in found), found[0])
    raise RefusedError(f"its tokenizer cuts texts in a way for which GGUF has no name ({kinds})")
