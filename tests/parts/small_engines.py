"""Exports small enough for milliseconds, and requests to an engine that runs one."""

import threading
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from ropewalk.model.engine import Engine, Update
from ropewalk.model.engine_sampling import Sampling

_CORPUS = ["def add(a, b):\n    return a + b\n", "for i in range(10):\n    print(i)\n", "naïve café — 日本 🎉\n"] * 4


_SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "eos_token_id": 0,
}

# After the first element 2,400 alternatives are open at once, which no schema may ask for.
OVERRUN: dict[str, Any] = {
    "type": "array",
    "prefixItems": [
        {"const": "abc"},
        {
            "type": "array",
            "items": {"anyOf": [{"type": "array", "items": {"enum": [n, None]}} for n in range(400)]},
            "minItems": 1,
        },
    ],
    "items": False,
    "minItems": 2,
}


def a_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def an_export(folder: Path, model: PreTrainedModel) -> Path:
    model.save_pretrained(folder)
    a_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def a_qwen3(*, tied: bool = True) -> PreTrainedModel:
    torch.manual_seed(3)
    config = Qwen3Config(vocab_size=a_tokenizer().get_vocab_size(), tie_word_embeddings=tied, **_SHAPE)
    model = Qwen3ForCausalLM(config).eval()
    for parameter in model.parameters():  # sharper than the initialisation, so that greedy text varies
        parameter.data.mul_(4) if parameter.dim() > 1 else parameter.data.uniform_(0.5, 1.5)
    return model


def a_llama() -> PreTrainedModel:
    torch.manual_seed(4)
    return LlamaForCausalLM(LlamaConfig(vocab_size=a_tokenizer().get_vocab_size(), **_SHAPE)).eval()


class Completion:
    """Collects the updates of one request."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.done = threading.Event()

    def __call__(self, update: Update) -> None:
        self.updates.append(update)
        if update.finish_reason:
            self.done.set()

    def wait(self) -> "Completion":
        assert self.done.wait(20), "no end within 20 s"
        return self

    @property
    def tokens(self) -> list[int]:
        return [token for update in self.updates for token in update.token_ids]

    @property
    def text(self) -> str:
        return "".join(update.text for update in self.updates)

    @property
    def reason(self) -> str:
        return self.updates[-1].finish_reason


def complete(engine: Engine, prompt: str | list[int], **sampling: object) -> Completion:
    completion = Completion()
    tokens = engine.encode(prompt) if isinstance(prompt, str) else prompt
    engine.submit(tokens, Sampling(**{"temperature": 0.0, **sampling}), completion)  # type: ignore[arg-type]
    return completion


def prompts() -> list[list[int]]:
    torch.manual_seed(11)
    return [torch.randint(1, 300, (length,)).tolist() for length in (1, 3, 7, 15, 30, 63, 64, 65, 90, 110)]
