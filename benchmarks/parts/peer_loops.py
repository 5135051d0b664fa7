"""The same training in three loops: ours below Ray, the Trainer of transformers, the Trainer of Lightning.

Model, initial weights, batch, clipping and weight decay are equal. The peers move the weights with torch's fused AdamW
under a warm-up and a cosine, do not log, and do not save. Each calls `on_step` after every update.
"""

import hashlib
import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import WorkerJob

Peer = Literal["ropewalk", "huggingface", "lightning"]
OnStep = Callable[[int], None]
_MODULES = {"ropewalk": "ropewalk", "huggingface": "accelerate", "lightning": "lightning"}
_BETA2 = 0.95
_CLIP = 1.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training. `rate` is the peers' peak; 0 with ours: the plan's rates and Muon, else AdamW at that rate."""

    root: Path  # of a dataset that `training_data` published
    plan: Plan
    seed: int
    rate: float = 0.0


def installed(peer: Peer) -> bool:
    """Whether this environment has it."""
    return find_spec(_MODULES[peer]) is not None


def train(peer: Peer, task: Task, on_step: OnStep) -> Any:
    """Train `task.plan.total_steps` steps in this process; returns the model."""
    import torch

    torch.set_num_threads(1)
    return {"ropewalk": _train_ours, "huggingface": _train_huggingface, "lightning": _train_lightning}[peer](
        task, on_step
    )


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
    with joined_group(0, 1, device, ""):
        batches = Batches(shard, job, 0, 1, device)
        prepared = prepare(job, shard, device, batches)
        if task.rate:
            _use_adamw(prepared, task)
        kept = _Kept(shard, batches, device, StepGuard(), watched_phases(job, 0), lambda _: None, Notice())
        training = _Training(job, prepared, kept)
        for step in range(task.plan.total_steps):
            training._take_step(step)
            on_step(step)
        return prepared.model


def _use_adamw(prepared: Any, task: Task) -> None:
    from ropewalk.model.muon import MuonAdamW, Rates

    rates = Rates(matrix_lr=task.rate, adam_lr=task.rate, weight_decay=task.plan.weight_decay)
    prepared.strategy._optimizer = MuonAdamW(prepared.model.named_parameters(), rates, use_muon=False)


def _job(task: Task) -> WorkerJob:
    source = SourceRecipe(path="/nowhere", licence="CC0-1.0")
    name = hashlib.sha256(f"{task.plan.total_steps}/{task.seed}/{task.rate}/{os.getpid()}".encode()).hexdigest()[:8]
    return WorkerJob(
        run_id=f"peer-{name}",
        epoch=1,
        attempt=1,
        recipe=Recipe.model_validate(
            {"sources": [source], "plan": task.plan, "strategy": "ddp", "num_workers": 1, "seed": task.seed}
        ),
        dataset=task.root / "objects" / "datasets" / "bench",
        dataset_version="bench",
        tokenizer=task.root,
        store=StoreAddress(url=(task.root / "objects").as_uri()),
        scratch=task.root / "scratch",
        matrix_lr=task.plan.matrix_lr,
        adam_lr=task.plan.adam_lr,
        stamps=task.root / "stamps" / name,
    )


def _model(task: Task) -> Any:
    from ropewalk.model.architecture import Shape, build_model

    shape = {name: getattr(task.plan, name) for name in Shape.__dataclass_fields__ if name != "eos_id"}
    return build_model(Shape(**shape, eos_id=0), task.seed).train()


def _windows(task: Task) -> list[tuple[Any, Any]]:
    """Inputs and targets of all windows, (C,) int64 each, in memory: nothing is read from a file in a step."""
    import torch

    from ropewalk.corpus.shards import TOKENS, token_dtype

    path = task.root / "objects" / "datasets" / "bench" / TOKENS
    tokens = torch.from_numpy(np.fromfile(path, dtype=token_dtype(task.plan.vocab_size)).astype(np.int64))
    length = task.plan.context_length
    starts = range(0, len(tokens) - length, length)
    return [(tokens[at : at + length], tokens[at + 1 : at + length + 1]) for at in starts]


def _train_huggingface(task: Task, on_step: OnStep) -> Any:
    import tempfile

    transformers = importlib.import_module("transformers")
    plan = task.plan

    class Told(transformers.TrainerCallback):  # type: ignore[name-defined,misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            on_step(state.global_step - 1)

    rows = [{"input_ids": a, "labels": b, "shift_labels": b} for a, b in _windows(task)]
    with tempfile.TemporaryDirectory() as folder:
        settings = transformers.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=plan.batch_size,
            max_steps=plan.total_steps,
            learning_rate=task.rate,
            lr_scheduler_type="cosine",
            warmup_steps=plan.warmup_steps,
            weight_decay=plan.weight_decay,
            adam_beta2=_BETA2,
            max_grad_norm=_CLIP,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            seed=task.seed,
        )
        trainer = transformers.Trainer(model=_model(task), args=settings, train_dataset=rows, callbacks=[Told()])
        trainer.train()
    return trainer.model


def _train_lightning(task: Task, on_step: OnStep) -> Any:
    import torch

    lightning: Any = importlib.import_module("lightning.pytorch")
    cross_entropy = torch.nn.functional.cross_entropy
    plan, model = task.plan, _model(task)

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def training_step(self, batch: Any, _: int) -> Any:
            logits = self.inner(input_ids=batch[0], use_cache=False).logits
            return cross_entropy(logits.flatten(0, 1).float(), batch[1].flatten())

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(_decayed(model, plan), lr=task.rate, betas=(0.9, _BETA2), fused=True)
            scheduler = importlib.import_module("transformers").get_cosine_schedule_with_warmup(
                optimizer, plan.warmup_steps, plan.total_steps
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    class Told(lightning.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            on_step(trainer.global_step - 1)

    lightning.seed_everything(task.seed, verbose=False)
    loader = torch.utils.data.DataLoader(_windows(task), batch_size=plan.batch_size, shuffle=True, drop_last=True)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=plan.total_steps,
        gradient_clip_val=_CLIP,
        enable_model_summary=False,
        callbacks=[Told()],
        **quiet,
    ).fit(Module(), loader)
    return model


def _decayed(model: Any, plan: Plan) -> list[dict[str, Any]]:
    """As the Trainer of transformers does it: norms are not decayed."""
    parts: tuple[list[Any], list[Any]] = [], []
    for parameter in model.parameters():
        parts[parameter.ndim < 2].append(parameter)
    return [{"params": parts[0], "weight_decay": plan.weight_decay}, {"params": parts[1], "weight_decay": 0.0}]


def bits_per_byte_of(model: Any, root: Path, plan: Plan, held_out: list[str]) -> float:
    """On texts that nobody has learnt from."""
    from tokenizers import Tokenizer

    from ropewalk.model.nll import ScoredTokens, bits_per_byte, score_documents

    tokenizer = Tokenizer.from_file(str(root / "tokenizer.json"))
    documents = [ScoredTokens(tokens=tokenizer.encode(text).ids, num_bytes=len(text.encode())) for text in held_out]
    scores = score_documents(model.eval(), documents, context_length=plan.context_length, start_id=0)
    return float(bits_per_byte(scores))


def peers() -> Iterator[Peer]:
    """All of them, ours first."""
    yield from ("ropewalk", "huggingface", "lightning")
