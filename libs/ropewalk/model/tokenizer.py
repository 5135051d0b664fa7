"""Tokenizers as Hugging Face folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder (or a hub id). Raises OSError or ValueError when there is none."""
    return AutoTokenizer.from_pretrained(str(folder))


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of plain text, without any special token around it."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Text of token ids; special tokens are left out and spaces are kept as they are."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def encode_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], *, answer_follows: bool = True
) -> list[int]:
    """Token ids of a conversation by the tokenizer's chat template; raises ValueError if it has none."""
    text = tokenizer.apply_chat_template(
        [dict(message) for message in messages], add_generation_prompt=answer_follows, tokenize=False
    )
    return encode(tokenizer, str(text))
