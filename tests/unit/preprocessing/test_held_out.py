"""What is held out depends on what a document says and on what was held out before, on nothing else."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from ropewalk.corpus.document import EVAL_ITEMS, Document, write_records
from ropewalk.corpus.sketch import lowest_bytes
from ropewalk.corpus.trained import KEPT
from ropewalk.events.data import DatasetPublished
from ropewalk.events.run import RunAccepted
from ropewalk.preprocessing.adapters.registry import HeldOutBefore, publish_held_out
from ropewalk.preprocessing.adapters.sketching import content_of, sketch
from ropewalk.preprocessing.domain.held_out import Registry, choose_dev, choose_held_out, choose_learnt
from ropewalk.preprocessing.domain.states import DEV, HELD_OUT, DocumentFacts, first_states, thinned
from ropewalk.preprocessing.handlers import HeldOut
from ropewalk.stages.errors import StageError
from ropewalk.storage.local import LocalObjects

SOUND = {"num_words": 200.0, "max_line_bytes": 80.0, "mean_line_bytes": 40.0, "letter_share": 0.8}


def a_text(seed: int) -> str:
    chooser = random.Random(seed)
    return " ".join(f"w{chooser.randrange(5000)}" for _ in range(200))


def an_entry(number: int, split_key: str = "") -> DocumentFacts:
    return DocumentFacts(
        segment=0,
        place=number,
        doc_id=f"{number:04}",
        path=f"a.jsonl#{number}",
        num_bytes=1,
        content=f"content {number}",
        is_conversation=False,
        scores=SOUND,
        split_key=split_key,
    )


def held_out(entries: list[DocumentFacts], fraction: float = 0.05, registry: Registry | None = None) -> set[str]:
    """The contents that are held out; every entry has a text of its own."""
    _, signatures = sketch(a_text(int(entry.content.split()[1])) for entry in entries)
    states = first_states(entries, signatures, "code", fraction, registry or Registry())
    assert set(states) <= {HELD_OUT, DEV, KEPT}
    return {entry.content for entry, state in zip(entries, states, strict=True) if state == HELD_OUT}


def test_the_split_is_stable_when_the_corpus_grows() -> None:
    keys = [f"text {number}" for number in range(2000)]
    small, large = choose_held_out(keys[:1000], 0.05), choose_held_out(keys, 0.05)
    assert large & set(keys[:1000]) == small
    assert 60 < len(large) < 140


@pytest.mark.parametrize(("num_documents", "expected"), [(1, 1), (4, 1), (50, 10), (200, 20)])
def test_small_corpora_hold_out_up_to_a_fifth_but_at_least_one(num_documents: int, expected: int) -> None:
    assert len(choose_held_out([f"{n}" for n in range(num_documents)], 1e-9)) == expected


def test_a_record_in_front_another_order_and_other_names_change_nothing() -> None:
    entries = [an_entry(number) for number in range(100)]
    first = held_out(entries)
    moved = [replace(entry, place=entry.place + 1, path=f"b.jsonl#{entry.place + 1}") for entry in entries]
    random.Random(1).shuffle(moved)
    assert len(first) == 20
    assert held_out(moved) == first
    renumbered = [replace(entry, doc_id=f"{9999 - entry.place}", segment=entry.place % 3) for entry in entries]
    assert held_out(renumbered) == first


@pytest.mark.parametrize(("num_documents", "expected"), [(79, 0), (80, 4), (400, 20), (9000, 64)])
def test_a_training_is_watched_by_a_twentieth_that_judges_nothing(num_documents: int, expected: int) -> None:
    keys = [f"text {number}" for number in range(num_documents)]
    judging = choose_held_out(keys, 0.05)
    watching = choose_dev(keys, judging)
    assert len(watching) == expected
    assert not watching & judging


def test_the_same_author_is_never_both_learnt_from_and_watched_by() -> None:
    entries = [an_entry(number, split_key=f"author {number // 3}") for number in range(600)]
    _, signatures = sketch(a_text(number) for number in range(600))
    states = first_states(entries, signatures, "code", 0.05, Registry())
    states_of = {entry.split_key: set() for entry in entries}
    for entry, state in zip(entries, states, strict=True):
        states_of[entry.split_key].add(state)
    assert all(len(found) == 1 for found in states_of.values())
    assert sum(found == {DEV} for found in states_of.values()) == 10


def a_registry(contents: set[str], near: tuple[str, ...] = ()) -> Registry:
    texts = [a_text(int(content.split()[1])) for content in sorted(contents)]
    return Registry(names=frozenset(contents), sketches=lowest_bytes(sketch([*texts, *near])[1]))


@pytest.mark.parametrize("fraction", [1e-9, 0.03, 0.3])
@pytest.mark.parametrize("num_documents", [60, 400])
def test_what_was_held_out_once_stays_so_whatever_the_fraction_and_the_growth(
    fraction: float, num_documents: int
) -> None:
    before = held_out([an_entry(number) for number in range(60)], 0.2)
    now = held_out([an_entry(number) for number in range(num_documents)], fraction, a_registry(before))
    assert before <= now
    assert len(now) >= min(20, num_documents // 5)


def test_what_was_held_out_takes_no_more_than_its_place_among_the_twenty() -> None:
    before = {f"content {number}" for number in range(40)}
    assert held_out([an_entry(number) for number in range(400)], 1e-9, a_registry(before)) == before


def test_a_new_version_of_a_held_out_document_stays_held_out() -> None:
    edited = a_text(7).replace("w", "another w", 3)
    assert "content 7" in held_out([an_entry(n) for n in range(200)], 1e-9, a_registry(set(), near=(edited,)))
    assert len(held_out([an_entry(n) for n in range(200)], 1e-9, a_registry(set(), near=(edited,)))) == 20


def test_parts_of_one_document_fall_on_one_side() -> None:
    entries = [an_entry(number, split_key=f"book {number % 30}") for number in range(300)]
    chosen = held_out(entries, 0.2)
    books = Counter(entry.split_key for entry in entries if entry.content in chosen)
    assert set(books.values()) == {10}
    assert 3 <= len(books) <= 15


def test_one_registered_part_keeps_the_whole_document_out() -> None:
    entries = [an_entry(number, split_key=f"book {number % 30}") for number in range(300)]
    chosen = held_out(entries, 1e-9, a_registry({"content 14"}))
    assert {entry.content for entry in entries if entry.split_key == "book 14"} <= chosen
    by_key = Registry(names=frozenset({"book 3"}), sketches=a_registry(set()).sketches)
    assert {f"content {number}" for number in range(3, 300, 30)} <= held_out(entries, 1e-9, by_key)


def test_a_document_that_is_most_of_the_corpus_is_learnt_from() -> None:
    entries = [an_entry(number, split_key="the long one" if number < 90 else "") for number in range(100)]
    assert held_out(entries, 0.49) <= {f"content {number}" for number in range(90, 100)}


def test_a_single_document_of_many_parts_cannot_be_split() -> None:
    assert held_out([an_entry(number, split_key="all") for number in range(9)]) == set()


def a_dataset(
    run_id: str, model: str = "m", held_out_uri: str = "", evalset_uri: str = "evalsets/e"
) -> DatasetPublished:
    return DatasetPublished(
        run_id=run_id,
        dataset_version="v",
        uri="datasets/v",
        tokenizer_uri="t",
        evalset_uri=evalset_uri,
        num_inputs=0,
        num_kept=0,
        num_held_out=0,
        dropped={},
        num_tokens=0,
        num_windows=0,
        context_length=0,
        model=model,
        held_out_uri=held_out_uri,
    )


async def test_the_registry_of_a_model_is_what_all_its_other_runs_added(timeline) -> None:
    timeline.messages += [
        a_dataset("one", held_out_uri="held_out/a"),
        a_dataset("two"),
        a_dataset("three", model="other", held_out_uri="held_out/x"),
        a_dataset("four", held_out_uri="held_out/b"),
        a_dataset("five", held_out_uri="held_out/a"),
        a_dataset("mine", held_out_uri="held_out/c"),
    ]
    assert await HeldOut().before(timeline, "m", "mine") == ("held_out/a", "held_out/b")


async def test_runs_of_before_there_was_a_registry_count_with_what_they_were_judged_on(timeline) -> None:
    for run_id, recipe in [
        ("named", {"name": "x", "promotion": {"model": "m", "alias": "production"}, "a_field_of_then": 1}),
        ("plain", {"name": "m", "promotion": {"model": ""}}),
        ("other", {"name": "m", "promotion": {"model": "other"}}),
    ]:
        timeline.messages.append(RunAccepted(run_id=run_id, recipe=recipe, recipe_sha256="0"))
        timeline.messages.append(a_dataset(run_id, model="", evalset_uri=f"evalsets/{run_id}"))
    timeline.messages.append(a_dataset("unknown", model="", evalset_uri="evalsets/unknown"))
    assert await HeldOut().before(timeline, "m", "mine") == ("evalsets/named", "evalsets/plain")


def a_document(number: int, **fields: object) -> Document:
    document = Document(
        doc_id=f"{number}",
        source_id="s",
        path=f"{number}",
        licence="x",
        fetched_at="",
        num_bytes=1,
        text=a_text(number),
    )
    return replace(document, **fields)


def test_the_registry_reads_what_runs_published_each_document_once(tmp_path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    documents = [a_document(number, split_key="book" if number == 2 else "") for number in range(3)]
    pairs = [(content_of(document), document) for document in documents]
    first, first_sha256 = publish_held_out(objects, tmp_path / "one", pairs[:2])
    assert publish_held_out(objects, tmp_path / "two", pairs[1::-1]) == (first, first_sha256)
    assert first == f"held_out/{first_sha256}"
    second, _ = publish_held_out(objects, tmp_path / "three", pairs[1:])
    (tmp_path / "old").mkdir()
    write_records(tmp_path / "old" / EVAL_ITEMS, [{"item_id": "i", "path": "p", "text": a_text(9)}])
    objects.publish(tmp_path / "old", "evalsets/old", {})
    before = HeldOutBefore(objects, [first, second, "evalsets/old"], "m")
    registry = before.load()
    assert registry.num_documents == 4
    assert registry.names == {content for content, _ in pairs} | {"book", content_of(a_document(9))}
    assert [document.text for _, document in before.documents()][3] == a_text(9)


def test_a_registry_that_is_gone_stops_the_run_with_a_remedy(tmp_path) -> None:
    with pytest.raises(StageError, match=r"earlier runs of model m held out .* restore held_out/x from a backup"):
        HeldOutBefore(LocalObjects(tmp_path), ["held_out/x"], "m")


@pytest.mark.parametrize("seed", [17, -5, 2**63 - 1])
def test_of_two_fractions_the_smaller_is_within_the_larger_by_whole_keys_and_the_held_out_stay(seed: int) -> None:
    entries = [an_entry(number, split_key=f"module {number // 3}") for number in range(300)]
    states = [HELD_OUT if number < 60 else "near_duplicate" if number < 66 else KEPT for number in range(300)]
    found = {fraction: thinned(states, entries, fraction, seed) for fraction in (0.25, 0.5, 1.0)}
    assert found[1.0] == states
    learnt = {fraction: {at for at, state in enumerate(each) if state == KEPT} for fraction, each in found.items()}
    assert learnt[0.25] < learnt[0.5] < learnt[1.0]
    assert [len(learnt[fraction]) for fraction in (0.25, 0.5)] == [60, 117]  # of 234, whole keys of three
    assert all({at // 3 * 3, at // 3 * 3 + 1, at // 3 * 3 + 2} <= learnt[0.25] for at in learnt[0.25])
    assert all(each[:66] == states[:66] for each in found.values())


def test_another_seed_learns_from_others_and_one_key_is_always_left() -> None:
    keys = [f"{number}" for number in range(200)]
    assert choose_learnt(keys, 0.25, 1) != choose_learnt(keys, 0.25, 2)
    assert len(choose_learnt(keys, 1e-9, 1)) == 1
