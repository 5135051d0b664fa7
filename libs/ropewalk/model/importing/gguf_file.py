"""What a GGUF file says of itself, and whether transformers would read it faithfully.

transformers drops what it does not know (scaled rotary positions, windows, experts), so that is refused here.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from tokenizers import normalizers, pre_tokenizers
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from transformers.integrations.gguf.reader import GgufHeader, read_gguf_metadata

from ropewalk.model.importing.errors import RefusedError

_ARCHITECTURES = ("llama", "qwen2", "qwen3")  # Mistral's files say llama
_DAMAGED = (ValueError, KeyError, IndexError, struct.error, MemoryError, OverflowError, OSError)
_DIGITS_APART = ("smollm",)  # as Hugging Face's own SmolLM tokenizers; transformers forgets the digits
_PLAIN = ("gpt-2", "gpt2")


@dataclass(frozen=True, kw_only=True)
class GgufFacts:
    """`num_elements` of all tensors; `head_dim` 0 where the file leaves it to the family."""

    architecture: str
    licence: str
    pre_tokenizer: str
    head_dim: int
    num_elements: int


def read_gguf_facts(path: Path) -> GgufFacts:
    """Raises RefusedError for a damaged file and for a model that cannot be read faithfully."""
    try:
        metadata, names = read_gguf_metadata(str(path))
        header = GgufHeader.from_file(str(path))
    except _DAMAGED as error:
        raise RefusedError(f"it is no GGUF file, or a damaged one: {str(error)[:200]}") from None
    architecture = str(metadata.get("general.architecture"))[:40]
    if reason := _why_not(architecture, metadata, names):
        raise RefusedError(reason)
    end = max((header.data_start + each.offset + each.nbytes for each in header.tensors), default=0)
    if path.stat().st_size < end:
        raise RefusedError(f"it has {path.stat().st_size:,} bytes and its header says {end:,}: copy it again")
    licence = metadata.get("general.license")
    return GgufFacts(
        architecture=architecture,
        licence=licence if isinstance(licence, str) else "",
        pre_tokenizer=str(metadata.get("tokenizer.ggml.pre", "")),
        head_dim=int(metadata.get(f"{architecture}.attention.key_length", 0)),
        num_elements=sum(prod(each.shape) for each in header.tensors),
    )


def _why_not(architecture: str, metadata: dict[str, Any], names: tuple[str, ...]) -> str:
    def of(key: str) -> Any:
        return metadata.get(f"{architecture}.{key}")

    if architecture not in _ARCHITECTURES:
        return f"its architecture is {architecture!r}; {', '.join(_ARCHITECTURES)} are read from GGUF"
    if of("rope.scaling.type") not in (None, "none") or "rope_freqs.weight" in names:
        return "its rotary positions are scaled, which neither transformers reads from GGUF nor the endpoint computes"
    if of("attention.sliding_window"):
        return "its attention has a sliding window, which the endpoint does not compute"
    if of("expert_count"):
        return "it is a mixture of experts, which the endpoint does not compute"
    if of("attention.value_length") not in (None, of("attention.key_length")):
        return "its keys and values differ in length, which the endpoint does not compute"
    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if kind not in ("gpt2", "llama"):
        return f"its tokenizer is {str(kind)[:40]!r}; 'gpt2' and 'llama' are read from GGUF"
    known = (*_PLAIN, *_DIGITS_APART, *GGUF_PRE_TOKENIZER_SPLITS)
    if kind == "gpt2" and pre not in known:
        return f"how its tokenizer splits text is {str(pre)[:40]!r}, which is not known: import its Hugging Face folder"
    return ""


def correct_tokenizer(tokenizer: Any, pre_tokenizer: str) -> None:
    """Give a tokenizer (of the tokenizers library) that was read from GGUF what transformers leaves out."""
    if pre_tokenizer in _DIGITS_APART:
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    elif pre_tokenizer == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
