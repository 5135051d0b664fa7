"""A run up to its export: dataset, held-out files and a small model that has seen a regular text."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ropewalk.corpus.document import DEV_ITEMS, write_records
from ropewalk.events.data import DatasetPublished
from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.chat.encoder import Encoder
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.local import LocalObjects

CONTEXT = 96
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def a_source(number: int) -> str:
    """A file as regular as a small model can learn, with something of its own."""
    lines = [f"def step_{number % 5}(value):\n    return value + {line % 3}\n\n\n" for line in range(12)]
    return f"import os\n\nNUMBER = {number}\n\n\n" + "".join(lines)


def write_tokenizer(folder: Path, texts: list[str]) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )
    fast.save_pretrained(folder)


def write_model(folder: Path, tokens: np.ndarray, num_steps: int) -> None:
    """Train for a few steps, so that later is better."""
    shape = Shape(
        vocab_size=320,
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        intermediate_size=64,
        context_length=CONTEXT,
    )
    model = build_model(shape, seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    rng = np.random.default_rng(1)
    for _ in range(num_steps):
        starts = rng.integers(0, len(tokens) - CONTEXT, size=8)
        batch = torch.tensor(np.stack([tokens[start : start + CONTEXT] for start in starts]))
        loss = model(batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)


@dataclass
class World:
    """Folders in a store, and how to make a stage that works on them."""

    objects: LocalObjects
    root: Path
    make_stage: Callable[..., Any]

    def stage(self, evalset_uri: str = "evalsets/code", **changes: object) -> Any:
        scratch = self.root / "scratch" / str(len(list((self.root / "scratch").iterdir())))
        scratch.mkdir()
        recipe = resolve_recipe({"base": "python-stdlib-tiny", **changes})
        stage = self.make_stage(self.objects, scratch, recipe)
        stage.bus.messages.append(
            DatasetPublished(
                run_id="r",
                dataset_version="v",
                uri="datasets/v",
                tokenizer_uri="tokenizers/t",
                evalset_uri=evalset_uri,
                num_inputs=0,
                num_kept=0,
                num_held_out=0,
                dropped={},
                num_tokens=0,
                num_windows=0,
                context_length=CONTEXT,
            )
        )
        return stage


@pytest.fixture(scope="session")
def fixed_parts(tmp_path_factory: pytest.TempPathFactory, stage_here: Callable[..., Any]) -> World:
    """Built once: nothing in it is changed by a test."""
    root = tmp_path_factory.mktemp("evaluator")
    objects = LocalObjects(root / "objects")
    (root / "scratch").mkdir()
    texts = [a_source(number) for number in range(90)]
    write_tokenizer(root / "t", texts)
    encoder = Encoder(root / "t")
    tokens = np.array([t for text in texts[30:] for t in [*encoder.text(text), 0]], dtype=np.uint16)
    for name, num_steps in (("untrained", 0), ("hardly", 5), ("barely", 25), ("trained", 60), ("longer", 150)):
        write_model(root / name, tokens.astype(np.int64), num_steps)
        write_tokenizer(root / name, texts)
        objects.publish(root / name, f"exports/{name}", {})
    objects.publish(root / "t", "tokenizers/t", {})
    (root / "d").mkdir()
    tokens.tofile(root / "d" / "tokens.bin")
    meta = {"dataset_version": "v", "tokenizer_uri": "tokenizers/t", "context_length": CONTEXT, "dtype": "uint16"}
    meta |= {"num_tokens": len(tokens), "num_windows": len(tokens) // CONTEXT, "has_mask": False, "eos_id": 0}
    objects.publish(root / "d", "datasets/v", meta)
    code = [{"item_id": str(n), "path": f"{n}.py", "text": text, "doc_id": str(n)} for n, text in enumerate(texts[:30])]
    talk = [
        {
            "item_id": str(n),
            "path": f"talk.jsonl#{n}",
            "messages": [
                {"role": "user", "content": f"What does step_{n % 5} do?"},
                {"role": "assistant", "content": f"return value + {n % 3}"},
            ],
        }
        for n in range(25)
    ]
    for name, items in (("code", code), ("few", code[:7]), ("talk", talk), ("none", [])):
        (root / name).mkdir()
        write_records(root / name / "items.jsonl.zst", items)
        if name == "few":
            write_records(root / name / DEV_ITEMS, code[7:17])
        objects.publish(root / name, f"evalsets/{name}", {})
    return World(objects, root, stage_here)


@pytest.fixture
def world(fixed_parts: World) -> World:
    for key in fixed_parts.objects.list("evaluations"):
        fixed_parts.objects.delete(key)
    return fixed_parts
