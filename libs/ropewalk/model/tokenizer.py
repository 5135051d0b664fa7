"""Tokenizers as Hugging Face folders, to be saved and to decode. `chat.encoder` encodes."""

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder (or a hub id). Raises OSError or ValueError when there is none."""
    return AutoTokenizer.from_pretrained(str(folder))


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Text of token ids; special tokens are left out and spaces are kept as they are."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
