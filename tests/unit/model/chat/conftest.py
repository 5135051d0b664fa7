"""Tokenizers and chat templates in the manner of twelve public model families and three of our own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

TEMPLATES = Path(__file__).parent / "templates"
TEXTS = [
    "Hello, what can I do for you? 3 + 4 = 7, isn't it?\n\nSay so.  Twice.",
    "def add(a, b):\n    return a + b\n",
    "Grüße aus München, 你好, Здравствуйте 🎉",
]


def byte_level(special: list[str]) -> Tokenizer:
    """As Llama 3, Qwen and most others."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.add_special_tokens(special)
    return tokenizer


def sentencepiece(special: list[str]) -> Tokenizer:
    """As Llama 2 and Mistral: a prefix before every stretch of text, bytes for what is unknown."""
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<unk>", *special, *fallback], initial_alphabet=["▁"], show_progress=False
    )
    tokenizer.train_from_iterator([text.replace(" ", "▁") for text in TEXTS[:2] * 3], trainer)
    return tokenizer


def metaspace(special: list[str]) -> Tokenizer:
    """As newer conversions of SentencePiece: a prefix before the first stretch only."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<unk>", *special, *fallback], initial_alphabet=["▁"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS[:2] * 3, trainer)
    return tokenizer


@dataclass(frozen=True)
class Family:
    """A template and the tokens of its models. `ordinary` are added tokens that are not special."""

    template: str
    build: Callable[[list[str]], Tokenizer]
    bos: str | None
    eos: str
    special: list[str]
    ordinary: list[str] = field(default_factory=list)
    rstrip: bool = False  # the special tokens swallow the white space behind them


FAMILIES = {
    "chatml": Family("chatml", byte_level, None, "<|im_end|>", ["<|im_start|>", "<|endoftext|>"]),
    "llama2": Family("llama2", sentencepiece, "<s>", "</s>", []),
    "llama3": Family(
        "llama3",
        byte_level,
        "<|begin_of_text|>",
        "<|eot_id|>",
        ["<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"],
    ),
    "mistral": Family("mistral", metaspace, "<s>", "</s>", ["[INST]", "[/INST]"]),
    "gemma": Family("gemma", metaspace, "<bos>", "<end_of_turn>", ["<start_of_turn>"], ["\n\n", "\n\n\n", "  "]),
    "phi3": Family(
        "phi3",
        sentencepiece,
        "<s>",
        "<|endoftext|>",
        ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
        rstrip=True,
    ),
    "zephyr": Family("zephyr", sentencepiece, "<s>", "</s>", []),
    "deepseek": Family(
        "deepseek",
        byte_level,
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        [],
        ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
    ),
    "command_r": Family(
        "command_r",
        byte_level,
        "<BOS_TOKEN>",
        "<|END_OF_TURN_TOKEN|>",
        ["<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"],
    ),
    "olmo": Family("olmo", byte_level, None, "<|endoftext|>", ["<|padding|>"], ["  ", "    "]),
    "qwen3": Family(
        "qwen3",
        byte_level,
        None,
        "<|im_end|>",
        ["<|im_start|>", "<|endoftext|>"],
        ["<think>", "</think>", "<tool_call>", "<tool_response>", "</tool_response>"],
    ),
    "smollm2": Family("smollm2", byte_level, "<|im_start|>", "<|im_end|>", ["<|endoftext|>"]),
    "vicuna": Family("vicuna", sentencepiece, "<s>", "</s>", []),
    "generation": Family("generation", byte_level, None, "<|im_end|>", ["<|im_start|>"]),
    "json": Family("json", byte_level, "<s>", "<|im_end|>", ["<|im_start|>"]),
}


def write_tokenizer(family: Family, folder: Path) -> Path:
    """A folder as transformers saves it."""
    special = [token for token in (family.bos, family.eos, *family.special) if token]
    tokenizer = family.build(special)
    if family.rstrip:
        tokenizer.add_special_tokens([AddedToken(token, rstrip=True) for token in family.special])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in family.ordinary])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=family.bos,
        eos_token=family.eos,
        pad_token=family.eos,
        unk_token="<unk>" if family.build is not byte_level else None,
        chat_template=(TEMPLATES / f"{family.template}.jinja").read_text(),
    ).save_pretrained(folder)
    return folder


@dataclass
class Folders:
    """Tokenizer folders by the name of the family, each written once, and transformers' view of them."""

    root: Path
    loaded: dict[str, PreTrainedTokenizerFast] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Path:
        self.reference(name)
        return self.root / name

    def reference(self, name: str) -> PreTrainedTokenizerFast:
        if name not in self.loaded:
            self.loaded[name] = AutoTokenizer.from_pretrained(write_tokenizer(FAMILIES[name], self.root / name))
        return self.loaded[name]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("families"))
