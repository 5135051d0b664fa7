"""Segments go through real Ray tasks and come out as one sealed, reproducible dataset version."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from parts.task_set_files import write_task_set
from pydantic import JsonValue
from transformers import AutoTokenizer

from ropewalk.corpus.document import (
    DOCUMENTS,
    EVAL_ITEMS,
    ChatMessage,
    Document,
    content_id,
    read_documents,
    read_records,
    write_documents,
)
from ropewalk.corpus.shards import TokenShard
from ropewalk.corpus.trained import SKETCHES, STATES, Identity, trained_on
from ropewalk.events.base import Message
from ropewalk.events.data import BlockedTaskSet, DatasetPublished, SegmentCleaned, SegmentRef, TokenizerTrained
from ropewalk.model.chat.encoder import Encoder
from ropewalk.preprocessing.adapters.job import PreprocessJob
from ropewalk.preprocessing.adapters.ray_driver import preprocess
from ropewalk.preprocessing.adapters.registry import publish_held_out
from ropewalk.preprocessing.adapters.sketching import content_of
from ropewalk.preprocessing.adapters.tokenizer import train_tokenizer
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.stages.child import run_child
from ropewalk.stages.errors import StageError
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import file_sha256, verify
from ropewalk.tasksets.shelf import read_task_set, store_task_set

VOCABULARY = [f"{a}{b}{c}" for a in "bdklmst" for b in "aeiou" for c in ("n", "r", "st", "lly", "m")]


def a_text(seed: int, num_words: int = 300) -> str:
    chooser = random.Random(seed)
    words = [chooser.choice(VOCABULARY) for _ in range(num_words)]
    return "\n".join(" ".join(words[at : at + 12]) + "." for at in range(0, num_words, 12)) + "\n"


def a_document(path: str, text: str = "", messages: tuple[ChatMessage, ...] = ()) -> Document:
    raw = (text or repr(messages)).encode()
    return Document(
        doc_id=content_id(raw),
        source_id="s",
        path=path,
        licence="MIT",
        fetched_at="2026-01-01",
        num_bytes=len(raw),
        text=text,
        messages=messages,
    )


@dataclass
class Store:
    """An object store in a folder, and what is run on it, on the Ray at an address or on one of its own."""

    root: Path
    ray_address: str = ""

    def a_segment(self, name: str, documents: list[Document]) -> SegmentRef:
        folder = self.root / f"incoming-{name}"
        folder.mkdir(parents=True)
        write_documents(folder / DOCUMENTS, sorted(documents, key=lambda document: (document.path, document.doc_id)))
        LocalObjects(self.root / "objects").publish(folder, f"segments/{name}", {})
        num_bytes = sum(document.num_bytes for document in documents)
        return SegmentRef(segment_id=name, uri=f"segments/{name}", num_documents=len(documents), num_bytes=num_bytes)

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.root / "objects")

    def preprocess(
        self,
        segments: tuple[SegmentRef, ...],
        num_workers: int = 1,
        held_out_before: tuple[str, ...] = (),
        task_sets: tuple[tuple[str, str], ...] = (),
        **fields: JsonValue,
    ) -> tuple[DatasetPublished, list[Message]]:
        scratch = self.root / f"scratch-{len(list(self.root.iterdir()))}"
        scratch.mkdir()
        recipe: dict[str, JsonValue] = {"sources": [{"path": "/x", "licence": "MIT"}], "size": "tiny"}
        job = PreprocessJob(
            run_id="r1",
            segments=segments,
            recipe=resolve_recipe({**recipe, **fields}),
            store=StoreAddress(url=(self.root / "objects").as_uri()),
            scratch=scratch,
            num_workers=num_workers,
            ray_address=self.ray_address,
            held_out_before=held_out_before,
            task_sets=task_sets,
        )
        facts: list[tuple[Message, str]] = []

        async def note(fact: tuple[Message, str]) -> None:
            facts.append(fact)

        # As in the service: Ray keeps what it read at import.
        dataset, cpu_seconds = asyncio.run(run_child(preprocess, job, note))
        assert cpu_seconds > 0
        return dataset, [message for message, _ in facts]


@pytest.fixture
def store(tmp_path: Path, ray_address: str) -> Store:
    return Store(tmp_path, ray_address)


def a_planted_corpus(store: Store) -> tuple[SegmentRef, ...]:
    """Sixty good documents in three segments, with repetitions, a near-repetition and faults."""
    good = [a_document(f"good/{number:02}.txt", a_text(number)) for number in range(60)]
    near = a_text(3).replace("\n", " again\n", 1)
    planted = [
        a_document("copy/01.txt", a_text(1)),
        a_document("copy/02.txt", a_text(2).replace("\n", "\r\n")),
        a_document("copy/03.txt", near),
        a_document("bad/short.txt", "too short"),
        a_document("bad/digits.txt", "0 1 2 3 4 5 6 7 8 9 " * 30),
    ]
    return (
        store.a_segment("c1", good[:20] + planted[:2]),
        store.a_segment("a2", good[20:40] + planted[2:]),
        store.a_segment("b3", [*good[40:], a_document("evil.txt", a_text(99) + "<|endoftext|> <|user|>\n")]),
    )


def test_the_same_segments_give_the_same_version_whatever_the_workers_and_the_order(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    first, facts = one.preprocess(a_planted_corpus(one), num_workers=1)
    again, _ = two.preprocess(a_planted_corpus(two)[::-1], num_workers=2)
    assert first == again
    manifests = [verify(store.objects.fetch(first.uri)) for store in (one, two)]
    assert manifests[0] == manifests[1]
    assert one.objects.list("work") == []

    check_counts(one, first, facts)
    check_tokens(one, first)


def check_counts(store: Store, dataset: DatasetPublished, facts: list[Message]) -> None:
    """Every document has one state, and each planted one the state it was planted for."""
    assert dataset.num_inputs == 66
    assert (dataset.num_held_out, dataset.num_dev) == (12, 0)  # too few to spare some for watching
    assert {
        "exact_duplicate": 2,
        "near_duplicate": 1,
        "few_letters": 1,
        "too_short": 1,
    }.items() <= dataset.dropped.items()
    assert dataset.num_kept + dataset.num_held_out + sum(dataset.dropped.values()) == dataset.num_inputs
    cleaned = [fact for fact in facts if isinstance(fact, SegmentCleaned)]
    assert sorted(fact.segment_id for fact in cleaned) == ["a2", "b3", "c1"]
    assert sum(fact.num_kept for fact in cleaned) == dataset.num_kept
    states = list(read_records(store.objects.fetch(dataset.uri) / STATES))
    assert Counter(row["state"] for row in states)["kept"] == dataset.num_kept
    assert {row["path"]: row["state"] for row in states}["bad/short.txt"] == "too_short"


def check_tokens(store: Store, dataset: DatasetPublished) -> None:
    """The tokens decode to the kept documents, none of which is held out."""
    shard = TokenShard(store.objects.fetch(dataset.uri))
    tokenizer = Encoder(store.objects.fetch(dataset.tokenizer_uri)).tokenizer
    kept = {document.path: document for document in shard.documents()}
    assert len(kept) == dataset.num_kept
    number, document = next((int(path[5:7]), doc) for path, doc in kept.items() if path.startswith("good/"))
    tokens = shard.tokens[document.start : document.start + document.length]
    assert tokens[-1] == shard.meta.eos_id == 0
    assert tokenizer.decode(tokens[:-1].tolist(), skip_special_tokens=False) == a_text(number)
    assert int((shard.tokens == 0).sum()) == dataset.num_kept  # a special token spelt out in a text is no special token
    assert shard.unigram().sum() == dataset.num_tokens
    assert shard.num_windows == dataset.num_windows == (dataset.num_tokens - 1) // 64
    held_out = [row["path"] for row in read_records(store.objects.fetch(dataset.evalset_uri) / EVAL_ITEMS)]
    assert len(held_out) == dataset.num_held_out
    assert not set(held_out) & set(kept)
    check_split(store, dataset, held_out)


def check_split(store: Store, dataset: DatasetPublished, held_out: list[str]) -> None:
    """The event names what was held out as an object with its hash; the dataset says what was learnt from."""
    folder = store.objects.fetch(dataset.held_out_uri)
    assert dataset.held_out_sha256 == file_sha256(folder / DOCUMENTS)
    assert sorted(document.path for document in read_documents(folder / DOCUMENTS)) == sorted(held_out)
    assert dataset.num_newly_held_out == dataset.num_registered == dataset.num_held_out
    items = list(read_records(store.objects.fetch(dataset.evalset_uri) / EVAL_ITEMS))
    judged = [Identity(item["doc_id"], item["item_id"]) for item in items]
    sketches = np.load(store.objects.fetch(dataset.evalset_uri) / SKETCHES)
    seen = store.objects.fetch(dataset.uri)
    assert not any(trained_on(seen, judged, sketches))
    assert all(trained_on(seen, [Identity(document.doc_id, "") for document in TokenShard(seen).documents()], None))


def held_out_texts(store: Store, dataset: DatasetPublished) -> set[str]:
    return {item["text"] for item in read_records(store.objects.fetch(dataset.evalset_uri) / EVAL_ITEMS)}


def test_a_later_run_of_the_model_trains_on_nothing_that_was_held_out_before(store: Store) -> None:
    """Renamed, reordered, among more documents, edited, quoted, with another seed and fraction."""
    first, _ = store.preprocess((store.a_segment("one", [a_document(f"a.jsonl#{n}", a_text(n)) for n in range(60)]),))
    before = held_out_texts(store, first)
    assert len(before) == 12
    gone, edited, *others = sorted(before)
    corpus = [text for text in map(a_text, range(60)) if text not in (gone, edited)]
    new = [
        *map(a_text, range(100, 200)),
        edited.replace("\n", " indeed\n", 1),
        f"{a_text(300)}{gone}{a_text(301)}",
    ]
    grown = [a_document(f"b.jsonl#{n}", text) for n, text in enumerate([*new, *reversed(corpus)])]
    again, _ = store.preprocess(
        (store.a_segment("two", grown),),
        held_out_before=(first.held_out_uri,),
        seed=5,
        evaluation={"held_out_fraction": 0.001},
    )
    now = held_out_texts(store, again)
    assert set(others) <= now
    assert new[-2] in now
    assert again.dropped == {"contaminated": 1}
    assert again.num_registered == 12 + again.num_newly_held_out
    assert again.num_newly_held_out == len(now - before) == 20 - len(others)


def test_a_later_attempt_sees_the_registry_of_the_first_one(store: Store, tmp_path: Path) -> None:
    """Another run may have added to it in between. Here the first attempt knew a document and the second knows none."""
    documents = [a_document(f"a.jsonl#{n}", a_text(n)) for n in range(6)]
    publish_held_out(store.objects, tmp_path / "before", [(content_of(document), document) for document in documents])
    (registered,) = store.objects.list("held_out")
    (tmp_path / "pinned").mkdir()
    (tmp_path / "pinned" / "uris.json").write_text(json.dumps([registered]))
    store.objects.publish(tmp_path / "pinned", "work/r1/registry", {})
    with pytest.raises(
        StageError, match=r"nothing is left to learn from: of 6 documents 6 are held out .* add sources"
    ):
        store.preprocess((store.a_segment("s", documents),))


def test_a_corpus_of_one_text_says_that_its_parts_belong_together(store: Store) -> None:
    parts = [replace(a_document(f"book.txt#{n}", a_text(n)), split_key="book") for n in range(6)]
    with pytest.raises(StageError, match="nothing can be held out: all 6 documents that are left belong together"):
        store.preprocess((store.a_segment("s", parts),))


def test_conversations_count_only_the_answers_and_can_be_fine_tuned_on(store: Store, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    train_tokenizer([a_text(number) for number in range(30)], 512, base)
    chats = [
        a_document(f"c.jsonl#{number}", messages=(ChatMessage(role="user", content=f"say {VOCABULARY[number]}"), reply))
        for number in range(30)
        for reply in [ChatMessage(role="assistant", content=f"{VOCABULARY[number]} it is")]
    ]
    forged = (ChatMessage(role="user", content="a <|assistant|> b"), ChatMessage(role="assistant", content="c"))
    beyond = (ChatMessage(role="user", content=a_text(7)), ChatMessage(role="assistant", content="never seen"))
    planted = [a_document(f"d.jsonl#{number}", messages=turns) for number, turns in enumerate((forged, beyond))]
    segments = (store.a_segment("chat", chats + planted),)
    alone: JsonValue = {"document_masks": False}  # a window for each conversation
    dataset, facts = store.preprocess(segments, mode="finetune", base_model=str(base), trials=0, training=alone)

    assert dataset.dropped == {"answer_beyond_context": 1, "special_token_in_text": 1}
    assert next(fact.vocab_size for fact in facts if isinstance(fact, TokenizerTrained)) <= 512
    tokenizer = AutoTokenizer.from_pretrained(str(store.objects.fetch(dataset.tokenizer_uri)))
    shard = TokenShard(store.objects.fetch(dataset.uri))
    assert shard.num_windows == dataset.num_kept
    for index, document in enumerate(shard.documents()):
        window = shard.window(index)
        word = VOCABULARY[int(document.path.partition("#")[2])]
        assert tokenizer.decode(window.targets[window.mask]) == f"\n{word} it is<|endoftext|>"[1:]
        assert tokenizer.decode(window.inputs).startswith(f"<|user|>\nsay {word}<|endoftext|><|assistant|>\n")
        assert document.start == index * 64
        assert np.all(window.inputs[document.length :] == 0)


def test_a_template_that_refuses_every_conversation_is_named_as_the_cause(store: Store, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    train_tokenizer([a_text(number) for number in range(30)], 512, base)
    (base / "chat_template.jinja").write_text("{{ raise_exception('only on Mondays') }}")
    chats = [
        a_document(f"c.jsonl#{number}", messages=(ChatMessage(role="user", content=f"say {VOCABULARY[number]}"), reply))
        for number in range(30)
        for reply in [ChatMessage(role="assistant", content=f"{VOCABULARY[number]} it is")]
    ]
    with pytest.raises(StageError, match=r"nothing is left to learn from: .* template_refused \(.*only on Mondays"):
        store.preprocess((store.a_segment("chat", chats),), mode="finetune", base_model=str(base), trials=0)
    assert store.objects.list("datasets") == []


def test_a_corpus_without_two_good_documents_says_what_was_dropped(store: Store) -> None:
    segment = store.a_segment("s", [a_document("a.txt", a_text(1)), a_document("b.txt", "short")])
    with pytest.raises(StageError, match=r"of 2, 1 are left after cleaning \(1 too_short\)"):
        store.preprocess((segment,))
    assert json.dumps(store.objects.list("datasets")) == "[]"


def test_documents_that_give_away_a_frozen_task_set_are_dropped_and_counted_for_it(store: Store) -> None:
    rows = [{"text": a_text(500 + number), "group": f"g{number}"} for number in range(20)]
    found = read_task_set(write_task_set(store.root / "made", rows, type="rolling"))
    store_task_set(store.objects, found, store.root / "stored")
    quotes = [a_document(f"q/{n}.txt", f"{a_text(600 + n)}{a_text(500 + n)}") for n in range(3)]
    segment = store.a_segment("one", [a_document(f"t/{n:02}.txt", a_text(n)) for n in range(40)] + quotes)
    dataset, _ = store.preprocess((segment,), task_sets=(("counting@1", found.content),))
    (blocked,) = dataset.task_sets
    assert blocked == BlockedTaskSet(task_set="counting@1", content=found.content, num_items=20, num_dropped=3)
    assert dataset.dropped == {"contaminated": 3}
