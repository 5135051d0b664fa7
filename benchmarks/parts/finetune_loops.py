"""The same fine-tuning in three loops: ours below Ray, the Trainer of transformers with peft, TRL's SFTTrainer.

Base model, conversations, masks, adapters, precision and clipping are equal; every loop moves the weights with AdamW
but `ropewalk_muon`, which is ours as the dial has it where all weights move.
Each tells after every update how many useful tokens it learnt from: those of conversations, padding is none.
"""

import importlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.recipes.training import Adapter
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import WorkerJob

Peer = Literal["ropewalk", "ropewalk_muon", "huggingface", "trl", "trl_packed"]
OnStep = Callable[[int], None]  # with the useful tokens of the step
PEERS: dict[Peer, str] = {
    "ropewalk": "ropewalk",
    "ropewalk_muon": "ropewalk",
    "huggingface": "peft",
    "trl": "trl",
    "trl_packed": "trl",
}
_CLIP = 1.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """One fine-tuning. `batch_size` counts windows of ours, `at_once` conversations of the peers."""

    root: Path  # where `publish_conversations` left its files
    base: Path
    plan: Plan
    adapter: Adapter  # the peers know the first two
    at_once: int
    threads: int = 1


def installed(peer: Peer) -> bool:
    """Whether this environment has it."""
    return find_spec(PEERS[peer]) is not None


def train(peer: Peer, task: Task, on_step: OnStep) -> Any:
    """Train `task.plan.total_steps` steps in this process; returns the model."""
    import torch

    torch.set_num_threads(task.threads)
    if peer in ("ropewalk", "ropewalk_muon"):
        optimizer = "muon" if peer == "ropewalk_muon" else "adamw"
        plan = task.plan.model_copy(update={"optimizer": optimizer})
        return _train_ours(replace(task, plan=plan), on_step)
    return _train_peer(peer, task, on_step)


def _train_ours(task: Task, on_step: OnStep) -> Any:
    """All of the worker's loop but for saves."""
    from ropewalk.corpus.shards import TokenShard
    from ropewalk.trainer.adapters.worker.batches import Batches
    from ropewalk.trainer.adapters.worker.device import choose_device
    from ropewalk.trainer.adapters.worker.group import joined_group
    from ropewalk.trainer.adapters.worker.loop import _Kept, _Training
    from ropewalk.trainer.adapters.worker.notice import Notice
    from ropewalk.trainer.adapters.worker.preparation import prepare
    from ropewalk.trainer.adapters.worker.watched import watched_phases
    from ropewalk.trainer.domain.guard import StepGuard

    job = _job(task)
    device, shard = choose_device(job.recipe, 0), TokenShard(job.dataset)
    useful = json.loads((task.root / "useful.json").read_text())
    with joined_group(0, 1, device, ""):
        batches = Batches(shard, job, 0, 1, device)
        prepared = prepare(job, shard, device, batches)
        kept = _Kept(shard, batches, device, StepGuard(), watched_phases(job, 0), lambda _: None, Notice())
        training = _Training(job, prepared, kept)
        for step in range(task.plan.total_steps):
            training._take_step(step)
            on_step(sum(useful[sample] for sample in batches.mine(step)))
        return prepared.model


def _job(task: Task) -> WorkerJob:
    fields = {"mode": "finetune", "base_model": str(task.base), "adapter": task.adapter, "strategy": "ddp"}
    source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
    objects = task.root / "objects"
    return WorkerJob(
        run_id=f"peer-{os.getpid()}",
        epoch=1,
        attempt=1,
        recipe=Recipe.model_validate({"sources": [source], "plan": task.plan, "num_workers": 1, **fields}),
        dataset=objects / "datasets" / "chat",
        dataset_version="chat",
        tokenizer=task.base,
        store=StoreAddress(url=objects.as_uri()),
        scratch=task.root / "scratch",
        matrix_lr=task.plan.matrix_lr,
        adam_lr=task.plan.adam_lr,
    )


def _train_peer(peer: Peer, task: Task, on_step: OnStep) -> Any:
    transformers = importlib.import_module("transformers")
    counted = _Counted()

    class Told(transformers.TrainerCallback):  # type: ignore[name-defined,misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            on_step(counted.taken())

    with tempfile.TemporaryDirectory() as folder:
        make = _huggingface if peer == "huggingface" else _trl
        trainer = make(task, _settings(task, folder), packs=peer == "trl_packed")
        counted.inner, trainer.data_collator = trainer.data_collator, counted
        trainer.add_callback(Told())
        trainer.train()
    return trainer.model


class _Counted:
    """A collator that counts the useful tokens of what it made."""

    def __init__(self) -> None:
        self.inner: Callable[[Any], dict[str, Any]] = dict
        self._tokens: list[int] = []

    def __call__(self, rows: Any) -> dict[str, Any]:
        batch = self.inner(rows)
        mask = batch.get("attention_mask")
        self._tokens.append(int(mask.sum()) if mask is not None else batch["input_ids"].numel())
        return batch

    def taken(self) -> int:
        """Of the oldest batch that was not told; the loader is one ahead."""
        return self._tokens.pop(0)


def _settings(task: Task, folder: str) -> dict[str, Any]:
    plan = task.plan
    return {
        "output_dir": folder,
        "per_device_train_batch_size": task.at_once,
        "max_steps": plan.total_steps,
        "learning_rate": plan.adam_lr,
        "lr_scheduler_type": "linear",
        "warmup_steps": plan.warmup_steps,
        "max_grad_norm": _CLIP,
        "bf16": plan.precision == "bf16",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "gradient_checkpointing": False,  # TRL's default is to save memory at the price of a third of the speed
        "dataloader_pin_memory": False,
        "seed": 1,
    }


def _huggingface(task: Task, settings: dict[str, Any], *, packs: bool) -> Any:
    transformers, peft = importlib.import_module("transformers"), importlib.import_module("peft")
    model, tokenizer = _model(task), transformers.AutoTokenizer.from_pretrained(task.base)
    if task.adapter == "lora":
        model = peft.get_peft_model(model, _adapters(task))
    collator = transformers.DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100)
    rows = [
        {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "labels": [token if counts else -100 for token, counts in zip(ids, mask, strict=True)],
        }
        for ids, mask in _conversations(task)
    ]
    arguments = transformers.TrainingArguments(**settings)
    return transformers.Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator)


def _trl(task: Task, settings: dict[str, Any], *, packs: bool) -> Any:
    trl, datasets = importlib.import_module("trl"), importlib.import_module("datasets")
    transformers = importlib.import_module("transformers")
    rows = datasets.Dataset.from_list(
        [{"input_ids": ids, "completion_mask": mask} for ids, mask in _conversations(task)]
    )
    if packs:  # each row is a window then
        settings = {**settings, "per_device_train_batch_size": task.plan.batch_size}
    length = task.plan.context_length
    return trl.SFTTrainer(
        model=_model(task),
        args=trl.SFTConfig(**settings, max_length=length, packing=packs, completion_only_loss=True),
        train_dataset=rows,
        processing_class=transformers.AutoTokenizer.from_pretrained(task.base),
        peft_config=_adapters(task) if task.adapter == "lora" else None,
    )


def _model(task: Task) -> Any:
    from ropewalk.model.weights import load_model

    return load_model(task.base).train()


def _adapters(task: Task) -> Any:
    from ropewalk.model.lora import lora_config

    return lora_config(task.plan.lora_rank, task.plan.lora_alpha, task.plan.lora_targets)


def _conversations(task: Task) -> list[tuple[list[int], list[int]]]:
    return [(ids, mask) for ids, mask in json.loads((task.root / "conversations.json").read_text())]


def publish_conversations(root: Path, base: Path, context_length: int, count: int) -> list[int]:
    """Docstrings of the standard library as conversations, in windows and one by one; returns their lengths."""
    import sysconfig

    from ropewalk.corpus.document import ChatMessage
    from ropewalk.model.chat.encoder import Encoder
    from ropewalk.preprocessing.adapters.conversation import ConversationEncoder
    from ropewalk.recipes.docstrings import docstring_examples

    encoder = ConversationEncoder(base, Encoder(base))
    encoded: list[tuple[list[int], list[int]]] = []
    examples: Any = docstring_examples(Path(sysconfig.get_paths()["stdlib"]), count)
    for example in examples:
        turns = tuple(ChatMessage(role=turn["role"], content=turn["content"]) for turn in example["messages"])
        found = encoder.encode(turns)
        if not isinstance(found, str) and len(found[0]) <= context_length:
            encoded.append(found)
    (root / "conversations.json").write_text(json.dumps(encoded))
    _publish_windows(root, encoded, context_length)
    return [len(ids) for ids, _ in encoded]


def _publish_windows(root: Path, encoded: list[tuple[list[int], list[int]]], length: int) -> None:
    from ropewalk.corpus.document import DOCUMENTS, write_records
    from ropewalk.corpus.packing import share_windows
    from ropewalk.corpus.shards import PackedDocument, ShardMeta, TokenWriter
    from ropewalk.storage.local import LocalObjects

    folder, records, useful = root / "dataset", [], []
    folder.mkdir()
    with TokenWriter(folder, dtype="<u2", has_mask=True) as writer:
        for number, window in enumerate(share_windows([len(ids) for ids, _ in encoded], length)):
            useful.append(sum(len(encoded[place][0]) for place in window))
            for place in window:
                ids, mask = encoded[place]
                start = writer.append(np.array(ids), np.array([0, *mask[1:]]))
                whole = PackedDocument(
                    doc_id=str(place), path="", source_id="", licence="", start=start, length=len(ids)
                )
                records.append(whole.as_record())
            padding = (number + 1) * length - writer.num_tokens
            writer.append(np.zeros(padding), np.zeros(padding))
        writer.append(np.zeros(1), np.zeros(1))
    write_records(folder / DOCUMENTS, records)
    (folder / "unigram.json").write_text(json.dumps({"counts": [1]}))
    (root / "useful.json").write_text(json.dumps(useful))
    meta = ShardMeta(
        dataset_version="chat",
        tokenizer_uri="none",
        context_length=length,
        num_tokens=writer.num_tokens,
        num_windows=len(useful),
        dtype="<u2",
        has_mask=True,
        eos_id=0,
    )
    LocalObjects(root / "objects").publish(folder, "datasets/chat", meta.as_json())
