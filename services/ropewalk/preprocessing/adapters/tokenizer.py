"""Trains the byte-level BPE tokenizer of a pretraining corpus, or takes over that of a base model.

The folder loads with `transformers.AutoTokenizer`. Training is deterministic: same texts in the same order, same
tokenizer.json.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.folder import default_template, read_chat_folder
from ropewalk.model.chat.renderer import check_template
from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import file_sha256
from ropewalk.storage.objects import ObjectStore

END_TOKEN = "<|endoftext|>"
SPECIAL_TOKENS = (END_TOKEN, "<|user|>", "<|assistant|>", "<|system|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TOKENIZER = "tokenizer.json"
_NO_LIMIT = int(1e30)  # what transformers itself writes for "as long as the model takes"


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """What the encoders and the model must know of a tokenizer."""

    uri: str
    sha256: str
    vocab_size: int
    eos_id: int


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: Path) -> None:
    """Train on the texts and write the folder's files. All 256 bytes are tokens, so every text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    tokenizer.save(str(folder / TOKENIZER))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": END_TOKEN,
        "pad_token": END_TOKEN,
        "unk_token": None,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_max_length": _NO_LIMIT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))


def adopt_tokenizer(base_model: str, folder: Path, *, for_chat: bool) -> None:
    """Write the tokenizer of a base model into the folder. Raises StageError if it cannot serve."""
    from transformers import AutoTokenizer  # seconds to import; only fine-tuning needs it

    try:
        tokenizer = AutoTokenizer.from_pretrained(base_model)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StageError(f"the tokenizer of base_model {base_model!r} cannot be loaded: {reason}") from None
    if tokenizer.eos_token_id is None or not tokenizer.is_fast:
        raise StageError(f"base_model {base_model!r} has no end token or no tokenizer.json: choose another base model")
    if for_chat:
        tokenizer.chat_template = _chat_template(base_model, tokenizer.chat_template)
    tokenizer.save_pretrained(str(folder))


def _chat_template(base_model: str, found: Any) -> str:
    """Of several templates the default one; of none our own. Raises StageError for one that does not compile."""
    try:
        if isinstance(found, dict):
            found = default_template(found)
        if not found and Path(base_model).is_dir():
            found = read_chat_folder(Path(base_model)).template  # of a processor, which transformers leaves out here
        check_template(found or CHAT_TEMPLATE)
    except ChatTemplateError as error:
        raise StageError(f"base_model {base_model!r} cannot learn conversations: {error}") from None
    return str(found or CHAT_TEMPLATE)


def describe(folder: Path, uri: str) -> TokenizerFacts:
    """Read the facts of a tokenizer folder written by one of the functions above."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    end = json.loads((folder / "tokenizer_config.json").read_text())["eos_token"]
    eos_id = tokenizer.token_to_id(end["content"] if isinstance(end, dict) else end)
    assert eos_id is not None, "the end token is in the vocabulary"
    return TokenizerFacts(
        uri=uri,
        sha256=file_sha256(folder / TOKENIZER),
        vocab_size=tokenizer.get_vocab_size(with_added_tokens=True),
        eos_id=eos_id,
    )


def bytes_per_token(folder: Path, texts: list[str]) -> float:
    """How much text a token carries, on a sample."""
    num_tokens = sum(len(ids) for ids in Encoder(folder).texts(texts))
    return sum(len(text.encode()) for text in texts) / max(1, num_tokens)


def publish_tokenizer(objects: ObjectStore, folder: Path) -> str:
    """Seal the folder under the hash of its files (a base model's tokenizer may gain a chat template)."""
    files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    uri = f"tokenizers/{hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()}"
    objects.publish(folder, uri, {"sha256": files[TOKENIZER]})
    return uri
