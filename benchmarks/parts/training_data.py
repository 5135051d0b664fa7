"""Datasets for the benchmarks of training: random tokens, or the standard library of this Python."""

import hashlib
import json
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus.shards import ShardMeta, TokenWriter, token_dtype
from ropewalk.recipes.builtin import python_stdlib
from ropewalk.recipes.recipe import Plan
from ropewalk.storage.local import LocalObjects

_Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


def random_dataset(root: Path, plan: Plan, num_windows: int = 400) -> Path:
    """Publish random tokens; returns the folder of the dataset."""
    tokens = np.random.default_rng(1).integers(0, plan.vocab_size, num_windows * plan.context_length + 1)
    return publish(root, plan, tokens)


def random_answers(root: Path, plan: Plan, num_windows: int = 400) -> Path:
    """Publish random tokens of which random stretches count; returns the folder of the dataset."""
    random = np.random.default_rng(1)
    count = num_windows * plan.context_length + 1
    mask = np.repeat(random.integers(0, 2, count // 8 + 1), 8)[:count]
    return publish(root, plan, random.integers(0, plan.vocab_size, count), mask)


def stdlib_dataset(root: Path, plan: Plan) -> tuple[Path, list[str]]:
    """Publish the dataset, leave the tokenizer as root/tokenizer.json; returns the folder and held-out texts."""
    texts, held_out = stdlib_texts()
    tokenizer = _trained_tokenizer(texts, plan.vocab_size)
    tokenizer.save(str(root / "tokenizer.json"))
    order = np.random.default_rng(5).permutation(len(texts))
    encoded = tokenizer.encode_batch([texts[index] for index in order])
    return publish(root, plan, np.concatenate([np.array([0, *document.ids]) for document in encoded])), held_out


def publish(root: Path, plan: Plan, tokens: _Numbers, mask: _Numbers | None = None) -> Path:
    """Write tokens as a dataset version into the object store root/objects; returns its folder. `mask`: what counts."""
    folder, name = root / "dataset", "bench" if mask is None else "answers"
    folder.mkdir(parents=True)
    dtype, length = token_dtype(plan.vocab_size), plan.context_length
    with TokenWriter(folder, dtype=dtype, has_mask=mask is not None) as writer:
        writer.append(tokens, mask)
    (folder / "unigram.json").write_text(json.dumps({"counts": [1] * plan.vocab_size}))
    meta = ShardMeta(
        dataset_version="bench",
        tokenizer_uri="none",
        context_length=length,
        num_tokens=len(tokens),
        num_windows=(len(tokens) - 1) // length,
        dtype=dtype,
        has_mask=mask is not None,
        eos_id=0,
    )
    LocalObjects(root / "objects").publish(folder, f"datasets/{name}", meta.as_json())
    return root / "objects" / "datasets" / name


def stdlib_texts() -> tuple[list[str], list[str]]:
    """The files of the standard library to train on, and one in thirty that is held out."""
    skipped = {part.strip("*/") for part in python_stdlib().sources[0].exclude}
    texts: tuple[list[str], list[str]] = [], []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if skipped.isdisjoint(path.parts):
            out = hashlib.sha256(str(path).encode()).digest()[0] < 8
            texts[out].append(path.read_text(encoding="utf-8", errors="ignore"))
    return texts


def _trained_tokenizer(texts: list[str], vocab_size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
