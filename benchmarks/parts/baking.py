"""The sections of benchmarks/finetune/gpu_bake.py: one bake of the specialist's demo, below Ray and below the bus.

Each takes a Bake, works in its folder, and returns what it found as plain values. The parts are the services' own:
the import, the reader of ingest, the driver of preprocessing, the worker's loop, the export, the evaluator's process.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

from ropewalk.demo.specialist.base import LICENCE
from ropewalk.demo.specialist.task import recipe_fields
from ropewalk.events.data import CorpusIngested, DatasetPublished
from ropewalk.events.training import TrainingValidated
from ropewalk.recipes.bases import sized
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Recipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.trainer.adapters.worker.job import CheckpointWritten, Finished, Started, StepLoss, StepsDone, WorkerJob

_CORPUS, _DATASET = "corpus.json", "dataset.json"
_LOOKED_AT = 64  # held-out examples whose loss compares optimizers
_OF_QUALITY = ("schema_validity", "field_accuracy", "exact_match", "prompt_tokens", "answer_tokens")


@dataclass(frozen=True, kw_only=True)
class Bake:
    """`model` is a GGUF file or a Hugging Face folder; `task` a folder as `write_folder` leaves it."""

    root: Path
    model: Path
    task: Path
    device: str
    tiny: bool

    @property
    def base(self) -> Path:
        """Where the imported model lies."""
        return self.root / "base"

    @property
    def store(self) -> StoreAddress:
        """Of all that is published."""
        return StoreAddress(url=(self.root / "objects").as_uri())

    def recipe(self, *, seed: int = 0, adapter: str = "lora", **training: Any) -> Recipe:
        """The demo's recipe on this device, one worker, with some figures of the training replaced."""
        fields: dict[str, Any] = recipe_fields(self.task, str(self.base))
        given = {**fields["training"], **training}
        if self.tiny:
            given |= {"total_steps": min(4, given["total_steps"]), "validate_every": 2}
        if adapter == "full":
            given.pop("lora_rank")
        device: dict[str, Any] = {"device": self.device, "num_workers": 1, "seed": seed, "adapter": adapter}
        if self.device == "cpu":
            given.pop("compile", None)
        return sized(resolve_recipe({**fields, **device, "training": given}))

    def job(self, name: str, recipe: Recipe, **changes: Any) -> WorkerJob:
        """A run's only attempt, on what `prepare` published."""
        objects, dataset = self.store.connect(), self.dataset
        job = WorkerJob(
            run_id=name,
            epoch=1,
            attempt=1,
            recipe=recipe,
            dataset=objects.fetch(dataset.uri),
            dataset_version=dataset.dataset_version,
            tokenizer=objects.fetch(dataset.tokenizer_uri),
            evalset=objects.fetch(dataset.evalset_uri),
            store=self.store,
            scratch=self.root / "scratch",
            matrix_lr=recipe.derived.matrix_lr,
            adam_lr=recipe.derived.adam_lr,
        )
        return replace(job, **changes)

    @property
    def dataset(self) -> DatasetPublished:
        """What preprocessing said."""
        return DatasetPublished.model_validate_json((self.root / _DATASET).read_text())


class _Here:
    """Ray's tasks, one after the other in this process."""

    def each(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        yield from enumerate(function(*each) for each in arguments)

    def all(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [function(*each) for each in arguments]


class _Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.found[name] = round(time.monotonic() - began, 2)


@dataclass
class _Watch:
    """Takes the reports of a job."""

    began: float = field(default_factory=time.monotonic)
    device: str = ""
    ready_s: float = 0.0
    first_step_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    steps_s: list[float] = field(default_factory=list)
    held_out: dict[int, float] = field(default_factory=dict)
    checkpoints: list[str] = field(default_factory=list)
    finished: Finished | None = None

    def __call__(self, report: object) -> None:
        match report:
            case Started(device=device):
                self.device, self.ready_s = device, time.monotonic() - self.began
            case StepLoss(loss=loss):
                self.losses.append(loss)
            case StepsDone(rows=rows):
                self.losses += [row.loss for row in rows]
                ends = [row.time_unix for row in rows]
                self.first_step_s = self.first_step_s or time.monotonic() - self.began - self.ready_s
                self.steps_s += [after - before for before, after in pairwise(ends)]
            case TrainingValidated(step=step, loss=loss):
                self.held_out[step] = round(loss, 4)
            case CheckpointWritten(saved=saved):
                self.checkpoints.append(saved.uri)
            case Finished():
                self.finished = report


def prepare(bake: Bake) -> dict[str, Any]:
    """From `examples.jsonl` to packed windows."""
    clock = _Clock()
    with clock.part("ingest"):
        corpus = _ingest(bake)
    with clock.part("preprocess"):
        dataset = _preprocess(bake, corpus)
    (bake.root / _CORPUS).write_text(corpus.model_dump_json())
    (bake.root / _DATASET).write_text(dataset.model_dump_json())
    counts = ("num_inputs", "num_kept", "num_held_out", "num_tokens", "num_windows", "num_cut")
    return {"parts_s": clock.found, **{name: getattr(dataset, name) for name in counts}}


def imported(bake: Bake) -> dict[str, Any]:
    """From a GGUF file to the base's folder, without the certificate: once for each object store."""
    clock = _Clock()
    with clock.part("import"):
        _import(bake)
    return {"parts_s": clock.found}


def _import(bake: Bake) -> None:
    from ropewalk.model.importing.loading import write_folder
    from ropewalk.model.importing.source import ModelSource

    if bake.tiny:  # two of its blocks
        from transformers import AutoModelForCausalLM, AutoTokenizer

        AutoModelForCausalLM.from_pretrained(bake.model, num_hidden_layers=2).save_pretrained(bake.base)
        AutoTokenizer.from_pretrained(bake.model).save_pretrained(bake.base)
        return
    bake.base.mkdir()
    source = ModelSource("folder" if bake.model.is_dir() else "gguf", str(bake.model))
    write_folder(source, LICENCE, bake.base, lambda _: None)


def _ingest(bake: Bake) -> CorpusIngested:
    from ropewalk.corpus.reading.places import ANYWHERE
    from ropewalk.corpus.reading.records import Limits
    from ropewalk.ingest.adapters.reader import IngestJob, ingest_all

    job = IngestJob(
        run_id="bake",
        sources=bake.recipe().sources,
        limits=Limits(),
        reach=ANYWHERE,
        store=bake.store,
        scratch=_folder(bake.root / "ingest"),
        fetched_at="2026-11-27T00:00:00+00:00",
    )
    return ingest_all(job, lambda _: None)


def _preprocess(bake: Bake, corpus: CorpusIngested) -> DatasetPublished:
    from ropewalk.preprocessing.adapters.job import PreprocessJob
    from ropewalk.preprocessing.adapters.ray_driver import _Driver

    job = PreprocessJob(
        run_id="bake",
        segments=corpus.segments,
        recipe=bake.recipe(),
        store=bake.store,
        scratch=_folder(bake.root / "preprocessing"),
    )
    here: Any = _Here()
    return _Driver(job, here, lambda _: None).run()


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def train(bake: Bake, name: str, recipe: Recipe) -> dict[str, Any]:
    """The whole of the worker's loop: base, steps, looks at held-out windows, checkpoints, the last one landed."""
    import torch

    from ropewalk.trainer.adapters.worker.loop import run_worker

    watch, began = _Watch(), time.monotonic()
    run_worker(bake.job(name, recipe), 0, 1, watch)
    seconds = time.monotonic() - began
    assert watch.finished is not None, "the loop ends with this report"
    (bake.root / f"{name}.json").write_text(json.dumps({"uri": watch.finished.uri, "recipe": recipe.as_json()}))
    return {
        "device": watch.device,
        "torch": torch.__version__,
        "compiled": recipe.derived.compile,
        "optimizer": recipe.derived.optimizer,
        "rates": [recipe.derived.matrix_lr, recipe.derived.adam_lr],
        "parts_s": {
            "ready": round(watch.ready_s, 2),
            "first_steps": round(watch.first_step_s, 2),
            "rest": round(seconds - watch.ready_s - watch.first_step_s, 2),
        },
        "loop_s": round(seconds, 2),
        "spent_at_the_end_s": {name: round(each, 2) for name, each in watch.finished.spent.items()},
        "steps": watch.finished.num_steps,
        "step_ms": round(1000 * median(watch.steps_s), 1) if watch.steps_s else None,
        "num_checkpoints": len(watch.checkpoints),
        "first_loss": round(watch.losses[0], 4),
        "last_20": round(fmean(watch.losses[-20:]), 4),
        "held_out_by_step": watch.held_out,
        "peak_gib": _peak_gib(),
    }


def judge(bake: Bake, name: str, device: str, *, opponents: bool = True) -> dict[str, Any]:
    """Export what was trained, ask the held-out examples, decide: the evaluator's own process, on the card or not."""
    import torch

    from ropewalk.checkpoint_manager.adapters.export import ExportJob, build_export
    from ropewalk.evaluator.adapters.measuring import MeasuringJob, Opponent, measure
    from ropewalk.evaluator.domain.budget import gate_seed
    from ropewalk.evaluator.domain.gate import decide

    clock, objects, dataset = _Clock(), bake.store.connect(), bake.dataset
    trained = json.loads((bake.root / f"{name}.json").read_text())
    recipe = Recipe.model_validate(trained["recipe"])
    assert recipe.task is not None, "it is the demo's"
    less: dict[str, Any] = ({} if opponents else {"compare": ()}) | ({"max_answer_tokens": 8} if bake.tiny else {})
    recipe = recipe.model_copy(update={"task": recipe.task.model_copy(update=less)})
    export, tokenizer = bake.root / f"{name}-export", objects.fetch(dataset.tokenizer_uri)
    if not export.exists():
        with clock.part("export"):
            build_export(
                ExportJob(checkpoint=objects.fetch(trained["uri"]), tokenizer=tokenizer, out=export), lambda _: None
            )
    if device == "cuda":
        torch.set_default_device("cuda")  # models and batches of the evaluator, which asks for no device itself
    corpus = CorpusIngested.model_validate_json((bake.root / _CORPUS).read_text())
    job = MeasuringJob(
        checkpoint_id=name,
        recipe=recipe.model_copy(update={"seed": gate_seed(recipe.model)}),
        export=export,
        dataset=objects.fetch(dataset.uri),
        evalset=objects.fetch(dataset.evalset_uri),
        opponent=Opponent(column="base_model", name="the base model", uri="base", model=str(bake.base)),
        threads=os.cpu_count() or 1,
        segments=tuple(objects.fetch(each.uri) for each in corpus.segments),
    )
    with clock.part("judge"):
        measured = measure(job, lambda _: None)
        decision = decide(measured.evidence)
    assert measured.task is not None, "the recipe has a task"
    return {
        "on": device,
        "threads": job.threads,
        "parts_s": clock.found,
        "num_examples": measured.task.num_examples,
        "levels": {
            who: {
                metric: [round(each.value, 4), round(each.lower, 4), round(each.upper, 4)]
                for metric, each in levels.items()
                if metric in _OF_QUALITY
            }
            for who, levels in measured.task.levels.items()
        },
        "decision": decision.decision,
        "reason": decision.reasons[0],
        "peak_gib": _peak_gib(),
    }


def _peak_gib() -> float:
    import torch

    return round(torch.cuda.max_memory_allocated() / 2**30, 2) if torch.cuda.is_available() else 0.0


def held_out_loss(bake: Bake, recipe: Recipe, every: int) -> dict[str, Any]:
    """Steps of the worker's loop without saves; the loss on the held-out answers after every so many, nats a token."""
    from ropewalk.corpus.shards import TokenShard
    from ropewalk.trainer.adapters.worker.batches import Batches
    from ropewalk.trainer.adapters.worker.device import choose_device
    from ropewalk.trainer.adapters.worker.group import joined_group
    from ropewalk.trainer.adapters.worker.loop import _Kept, _Training
    from ropewalk.trainer.adapters.worker.notice import Notice
    from ropewalk.trainer.adapters.worker.preparation import prepare as prepared_for
    from ropewalk.trainer.adapters.worker.watched import watched_phases
    from ropewalk.trainer.domain.guard import StepGuard

    plan, steps = recipe.derived, recipe.derived.total_steps
    recipe = recipe.model_copy(update={"plan": plan.model_copy(update={"validation_windows": _LOOKED_AT})})
    job, watch = bake.job("optimizers", recipe, stop_after_steps=steps), _Watch()
    device, shard = choose_device(job.recipe, 0), TokenShard(job.dataset)
    with joined_group(0, 1, device, ""):
        batches = Batches(shard, job, 0, 1, device)
        prepared = prepared_for(job, shard, device, batches)
        kept = _Kept(shard, batches, device, StepGuard(), watched_phases(job, 0), watch, Notice())
        training, spent = _Training(job, prepared, kept), 0.0
        for step in range(steps):
            if step % every == 0:
                training._validation.look(step)
            began = time.monotonic()
            training._take_step(step)  # waits for the device once, for the loss
            spent += time.monotonic() - began
        training._validation.look(steps)
        training._saving.close()
        batches.close()
    return {"steps_s": round(spent, 2), "held_out_by_step": watch.held_out, "losses": watch.losses[-1]}
