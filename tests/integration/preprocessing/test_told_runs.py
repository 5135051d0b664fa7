"""Runs that are told what the base model said: preprocessing asks it, training learns from that."""

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import JsonValue
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ropewalk.corpus.document import (
    DOCUMENTS,
    EVAL_ITEMS,
    ChatMessage,
    Document,
    content_id,
    read_records,
    write_documents,
)
from ropewalk.corpus.pair_checks import look_at_pairs
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Limits
from ropewalk.corpus.references import LOGPROBS
from ropewalk.corpus.shards import TokenShard
from ropewalk.events.base import Message
from ropewalk.events.data import BaseModelAsked, DatasetPublished, SegmentRef
from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.objectives.reference_pass import Asking, Lesson, ask
from ropewalk.model.weights import load_model
from ropewalk.preprocessing.adapters.asking import asked_in_time
from ropewalk.preprocessing.adapters.encoding import EncodeOrder
from ropewalk.preprocessing.adapters.job import PreprocessJob
from ropewalk.preprocessing.adapters.ray_driver import preprocess
from ropewalk.preprocessing.adapters.references import ReferenceOrder, ask_reference, check_asked
from ropewalk.preprocessing.adapters.tasks import clean_segment, encode_segment
from ropewalk.preprocessing.adapters.tokenizer import describe, train_tokenizer
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.recipe import Recipe
from ropewalk.stages.child import run_child
from ropewalk.stages.errors import StageError
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters.worker.job import WorkerJob
from ropewalk.trainer.adapters.worker.loop import run_worker

WORDS = [a + b + c for a in "bdklmst" for b in "aeiou" for c in ("n", "r", "st")]


def a_base(folder: Path) -> Path:
    """A tiny model of our own with random weights that all matter, and a tokenizer for the words."""
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
    model, noise = build_model(shape, 5), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn(weights.shape, generator=noise) * 0.2)
    model.save_pretrained(folder)
    return folder


def a_document(number: int, rejected: str = "") -> Document:
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


def a_pair(number: int) -> Document:
    return a_document(number, "no idea")


def a_recipe(base: Path, objective: str = "dpo", instruction: str = "", **training: JsonValue) -> Recipe:
    form = "preferences" if objective == "dpo" else "examples"
    return resolve_recipe(
        {
            "sources": [{"path": "/x", "licence": "MIT", "format": form}],
            "size": "tiny",
            "mode": "finetune",
            "base_model": str(base),
            **({"task": {"instruction": instruction}} if instruction else {}),
            "training": {"objective": objective, "total_steps": 30, "matrix_lr": 0.01, "adam_lr": 0.005, **training},
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
    long, single = a_document(40, " ".join(WORDS[:60])), a_document(41, "\x01")  # which cleaning takes away
    job = a_job(tmp_path, a_recipe(base), [*map(a_pair, range(40)), long, single], ray_address)
    facts: list[tuple[Message, str]] = []

    async def hear(fact: tuple[Message, str] | None) -> None:
        facts.extend([fact] if fact else [])

    dataset, _ = asyncio.run(run_child(preprocess, job, hear))  # Ray keeps what it read at import
    assert dataset.dropped == {"pair_beyond_context": 1, "no_rejected_answer": 1}
    told = [fact for fact, _ in facts if isinstance(fact, BaseModelAsked)]
    assert (told[-1].purpose, told[-1].num_asked) == ("references", told[-1].num_documents)
    assert told[-1].num_documents == 2 * dataset.num_kept  # both answers of each
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


class Paced:
    """Workers that end a task of two documents a second."""

    def __init__(self, clock: list[float]) -> None:
        self._clock = clock

    def each(self, _: object, orders: list[object], until: float) -> Iterator[tuple[int, str]]:
        for place in range(len(orders)):
            self._clock[0] += 1.0
            if self._clock[0] > until:
                raise TimeoutError
            yield place, f"result {place}"


def test_a_base_that_would_take_far_too_long_is_given_up_early_and_signs_of_life_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, told, clock = a_job(tmp_path, a_recipe(tmp_path), [a_pair(0)], ""), [], [0.0]
    monkeypatch.setattr("ropewalk.preprocessing.adapters.asking.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def ask(num_orders: int, minutes: float) -> list[tuple[int, str]]:
        told.clear()
        orders = [(number, 2) for number in range(num_orders)]
        timed = replace(job, base_minutes=minutes)
        return [*asked_in_time(timed, Paced(clock), told.append, "answers", (print, orders))]  # type: ignore[arg-type]

    assert len(ask(10, 1.0)) == 10
    assert [fact[0].num_asked for fact in told if fact] == [6, 12, 18, 20]
    with pytest.raises(StageError, match=r"asked about 14 of 400 documents in 0\.12 minutes, 3 in all, and 1 are"):
        ask(200, 1.0)
    with pytest.raises(StageError, match=r"asked about 120 of 180 documents in 1 minutes, and 1 are allowed"):
        ask(90, 1.0)


def taught(base: Path, text: str, num_answer: int, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher's 32 likeliest tokens before each of the last `num_answer` of a text, and their log-probabilities."""
    ids = AutoTokenizer.from_pretrained(str(base))(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = load_model(base)(input_ids=ids).logits[0, -1 - num_answer : -1] / temperature
    values, tokens = logits.log_softmax(-1).topk(32)
    return tokens, values


def test_a_distilled_student_comes_nearer_to_the_instructed_teacher(tmp_path: Path, ray_address: str) -> None:
    base, instruction = a_base(tmp_path / "base"), " ".join(WORDS[:20])
    recipe = a_recipe(base, "distill", instruction, kl_weight=1.0, temperature=2.0, document_masks=False)
    job = a_job(tmp_path, recipe, [a_document(number) for number in range(40)], ray_address)
    dataset, _ = asyncio.run(run_child(preprocess, job, unheard))  # Ray keeps what it read at import
    shard = TokenShard(LocalObjects(tmp_path / "objects").fetch(dataset.uri))

    for index, document in zip(range(5), shard.documents(), strict=False):
        window, rows = shard.window(index), shard.references(index)
        word = WORDS[int(document.path.partition("#")[2])]
        said = f"<|user|>\nsay {word}<|endoftext|><|assistant|>\n{word} it is<|endoftext|>"
        whole = f"<|system|>\n{instruction}<|endoftext|>{said}"
        ids, logprobs = taught(base, whole, int(window.mask.sum()), 2.0)
        assert (rows.ids[window.mask] == ids.numpy()).all()
        np.testing.assert_allclose(rows.logprobs[window.mask][:, :32], logprobs, atol=1e-5)
        np.testing.assert_allclose(np.exp(rows.logprobs[window.mask]).sum(-1), 1, atol=1e-5)
    losses = trained(tmp_path, job, dataset)
    assert losses[0] > 0.1
    assert losses[-1] < 0.5 * losses[0]


def test_the_same_answers_give_the_same_rows_and_an_instruction_beyond_the_model_none(tmp_path: Path) -> None:
    base = a_base(tmp_path / "base")
    recipe = a_recipe(base, "distill", " ".join(WORDS[:20]))
    job = a_job(tmp_path, recipe, [a_document(number) for number in range(3)], "")
    objects = job.store.connect()
    shutil.copytree(base, tmp_path / "tokenizer", ignore=shutil.ignore_patterns("model*"))
    objects.publish(tmp_path / "tokenizer", "tokenizers/t", {})
    facts = describe(base, "tokenizers/t")
    cleaned = clean_segment(job.store, "segments/s", "prose")
    encoding = EncodeOrder(
        cleaned_uri=cleaned, keep=(0, 1, 2), tokenizer=facts, context_length=64, has_mask=True, prefix="work/r1"
    )
    part = encode_segment(job.store, encoding).uri
    order = ReferenceOrder(part_uri=part, cleaned_uri=cleaned, tokenizer=facts, first=0, recipe=recipe, prefix="one")
    one, two = (ask_reference(job.store, replace(order, prefix=prefix)) for prefix in ("one", "two"))
    assert objects.manifest(one).files == objects.manifest(two).files
    check_asked(objects, [one], recipe)

    long = a_recipe(base, "distill", " ".join(2 * WORDS))
    none = ask_reference(job.store, replace(order, recipe=long, prefix="three"))
    assert np.isneginf(np.fromfile(objects.fetch(none) / LOGPROBS, dtype=np.float32)).all()
    with pytest.raises(StageError, match="could be asked about no answer behind"):
        check_asked(objects, [none], long)


def a_guessing_base(folder: Path) -> Path:
    """It answers `1` or `x`, each half the time, whatever it is asked: the next token depends on the last one alone."""
    a_base(folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    line, one, other = (tokenizer("\n1x").input_ids[place] for place in (0, 1, 2))
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=400, hidden_size=400, intermediate_size=8, num_hidden_layers=1, num_attention_heads=4,
            max_position_embeddings=128, tie_word_embeddings=False, bos_token_id=None, eos_token_id=0,
        )
    )  # fmt: skip
    with torch.no_grad():
        for weights in model.model.layers.parameters():
            weights.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(400))
        head = torch.zeros(400, 400)
        head[[one, other], line], head[0, [one, other]] = 1.0, 1.0
        model.lm_head.weight.copy_(head)
    model.save_pretrained(folder)
    return folder


def an_input(number: int) -> Document:
    document = a_document(number)
    return replace(document, messages=document.messages[:1], split_key=WORDS[number], doc_id=content_id(b"%d" % number))


def test_inputs_are_answered_by_the_base_and_what_fits_is_learnt_and_never_judges(
    tmp_path: Path, ray_address: str
) -> None:
    base = a_guessing_base(tmp_path / "base")
    fields = a_recipe(base, "sft", "Say a number.").as_json()
    source = {"path": "/x", "licence": "MIT"}
    fields["sources"] = [{**source, "format": "examples"}, {**source, "format": "inputs"}]
    fields["task"] = {"instruction": "Say a number.", "json_schema": {"type": "integer"}, "max_answer_tokens": 4}
    del fields["plan"]
    examples = [replace(a_document(number), split_key=WORDS[number]) for number in range(20)]
    documents = [*examples, *map(an_input, range(60))]
    job = a_job(tmp_path, resolve_recipe(fields), documents, ray_address)
    dataset, _ = asyncio.run(run_child(preprocess, job, unheard))  # Ray keeps what it read at import

    objects = LocalObjects(tmp_path / "objects")
    shard = TokenShard(objects.fetch(dataset.uri))
    synthetic = [each for each in shard.documents() if each.source == "synthetic"]
    assert 5 < len(synthetic) < 35  # 5 of 16 are to be expected: three of four samples must agree
    tokenizer, mask = AutoTokenizer.from_pretrained(str(base)), np.fromfile(shard.folder / "mask.bin", dtype=np.uint8)
    for each in synthetic:
        place = slice(each.start, each.start + each.length)
        assert tokenizer.decode(shard.tokens[place][mask[place] == 1]) == "1<|endoftext|>"
    judged = [*read_records(objects.fetch(dataset.evalset_uri) / EVAL_ITEMS)]
    assert len(judged) == dataset.num_held_out > 0
    assert all(item["messages"][-1]["content"] != "1" for item in judged)
    asked = {item["split_key"] for item in judged}
    assert asked.isdisjoint(WORDS[int(each.path.partition("#")[2])] for each in synthetic)
    assert dataset.dropped["no_valid_answer"] > 20
    assert dataset.num_kept + dataset.num_held_out + sum(dataset.dropped.values()) == len(documents)


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
