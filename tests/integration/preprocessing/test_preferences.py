"""From pairs of answers to a model that prefers the better ones: preprocessing asks the base, training is told."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from ropewalk.corpus.document import DOCUMENTS, ChatMessage, Document, content_id, write_documents
from ropewalk.corpus.pair_checks import look_at_pairs
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Limits
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.data import DatasetPublished, SegmentRef
from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.objectives.reference_pass import Asking, Lesson, ask
from ropewalk.model.weights import load_model
from ropewalk.preprocessing.adapters.job import PreprocessJob
from ropewalk.preprocessing.adapters.ray_driver import preprocess
from ropewalk.preprocessing.adapters.tokenizer import train_tokenizer
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Recipe
from ropewalk.stages.child import run_child
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters.worker.job import WorkerJob
from ropewalk.trainer.adapters.worker.loop import run_worker

WORDS = [a + b + c for a in "bdklmst" for b in "aeiou" for c in ("n", "r", "st")]


def a_base(folder: Path) -> Path:
    """A tiny model of our own with random weights and a tokenizer for the words."""
    folder.mkdir()
    train_tokenizer([" ".join(WORDS) + " it is no idea of say"] * 4, 400, folder)
    shape = Shape(
        vocab_size=400,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        intermediate_size=48,
        context_length=128,
        eos_id=0,
    )
    build_model(shape, 5).save_pretrained(folder)
    return folder


def a_pair(number: int, rejected: str = "no idea") -> Document:
    turns = (
        ChatMessage(role="user", content=f"say {WORDS[number]}"),
        ChatMessage(role="assistant", content=f"{WORDS[number]} it is"),
    )
    raw = f"{turns}{rejected}".encode()
    return Document(
        doc_id=content_id(raw),
        source_id="s",
        path=f"p.jsonl#{number}",
        licence="MIT",
        fetched_at="",
        num_bytes=len(raw),
        messages=turns,
        rejected=rejected,
    )


def a_recipe(base: Path, **training: JsonValue) -> Recipe:
    return resolve_recipe(
        {
            "sources": [{"path": "/x", "licence": "MIT", "format": "preferences"}],
            "size": "tiny",
            "mode": "finetune",
            "base_model": str(base),
            "training": {"objective": "dpo", "total_steps": 30, "matrix_lr": 0.01, "adam_lr": 0.005, **training},
        }
    )


def a_job(root: Path, recipe: Recipe, documents: Sequence[Document], ray_address: str) -> PreprocessJob:
    (root / "incoming").mkdir()
    write_documents(root / "incoming" / DOCUMENTS, documents)
    LocalObjects(root / "objects").publish(root / "incoming", "segments/s", {})
    (root / "scratch").mkdir()
    return PreprocessJob(
        run_id="r1",
        segments=(SegmentRef(segment_id="s", uri="segments/s", num_documents=len(documents), num_bytes=1),),
        recipe=recipe,
        store=StoreAddress(url=(root / "objects").as_uri()),
        scratch=root / "scratch",
        ray_address=ray_address,
    )


def trained(root: Path, job: PreprocessJob, dataset: DatasetPublished) -> list[float]:
    """The losses of a training on it, which leaves its last checkpoint."""
    objects, plan = LocalObjects(root / "objects"), job.recipe.derived
    worker = WorkerJob(
        run_id="r1",
        epoch=1,
        attempt=1,
        recipe=job.recipe,
        dataset=objects.fetch(dataset.uri),
        dataset_version=dataset.dataset_version,
        tokenizer=objects.fetch(dataset.tokenizer_uri),
        store=job.store,
        scratch=root / "training",
        matrix_lr=plan.matrix_lr,
        adam_lr=plan.adam_lr,
    )
    reports = []
    run_worker(worker, 0, 1, reports.append)
    return [row.loss for report in reports for row in getattr(report, "rows", ())]


def lessons_of(shard: TokenShard) -> list[Lesson]:
    mask = np.fromfile(shard.folder / "mask.bin", dtype=np.uint8)
    places = [slice(each.start, each.start + each.length) for each in shard.documents()]
    return [Lesson(shard.tokens[place].tolist(), mask[place].tolist()) for place in places]


def sums(folder: Path, lessons: Sequence[Lesson]) -> np.ndarray:
    """Log-probability of each answer."""
    return np.array([said[:, 0].sum() for _, said in ask(load_model(folder), lessons, Asking(top=0))])


async def unheard(_: object) -> None:
    """Facts that this test does not look at."""


def test_a_preference_run_raises_the_margin_of_the_chosen_answers(tmp_path: Path, ray_address: str) -> None:
    base = a_base(tmp_path / "base")
    long = a_pair(40, " ".join(WORDS[:60]))
    job = a_job(tmp_path, a_recipe(base), [*map(a_pair, range(40)), long], ray_address)
    dataset, _ = asyncio.run(run_child(preprocess, job, unheard))  # Ray keeps what it read at import
    assert dataset.dropped == {"pair_beyond_context": 1}
    shard = TokenShard(LocalObjects(tmp_path / "objects").fetch(dataset.uri))

    lessons, paths = lessons_of(shard), [each.path for each in shard.documents()]
    assert paths[::2] == paths[1::2]
    assert len(set(paths)) == dataset.num_kept == len(paths) // 2
    answers = [[token for token, counts in zip(each.ids, each.answers, strict=True) if counts] for each in lessons]
    assert {tuple(each) for each in answers[1::2]} == {tuple(answers[1])}
    assert len({tuple(each) for each in answers[::2]}) == dataset.num_kept

    before = sums(base, lessons)
    rows = np.concatenate([shard.references(index).logprobs for index in range(shard.num_windows)])
    kept = rows[np.isfinite(rows[:, 0]), 0]
    assert kept.sum() == pytest.approx(before.sum(), abs=1e-3)
    assert len(kept) == sum(map(len, answers))

    losses = trained(tmp_path, job, dataset)
    assert losses[0] == pytest.approx(np.log(2), abs=1e-4)
    after = sums(tmp_path / "objects" / "runs" / "r1" / "checkpoints" / "1-30", lessons)
    margins = (after - before)[::2] - (after - before)[1::2]
    assert losses[-1] < losses[0] - 0.05
    assert np.mean(margins > 0) > 0.9


def test_a_base_that_no_pair_fits_is_refused_at_submit_and_one_that_some_fit_is_not(tmp_path: Path) -> None:
    base = a_base(tmp_path / "base")
    file = tmp_path / "p.jsonl"
    long, short = " ".join(WORDS), "no idea"
    records = [{"input": "say ban", "chosen": "ban it is", "rejected": each} for each in (long, long + " " + long)]
    recipe = a_recipe(base)
    recipe = recipe.model_copy(update={"sources": (recipe.sources[0].model_copy(update={"path": str(file)}),)})
    asked = (recipe, Limits(), ANYWHERE, StoreAddress(url=tmp_path.as_uri()))

    file.write_text("".join(json.dumps(each) + "\n" for each in records))
    (sentence,) = look_at_pairs(asked, lambda _: None)
    assert "'training.context_length' has the value 64: no pair fits a window, the shortest takes" in sentence
    file.write_text("".join(json.dumps({**each, "rejected": short}) + "\n" for each in records))
    assert look_at_pairs(asked, lambda _: None) == ()
