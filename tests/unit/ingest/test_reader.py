"""Every file ends in a segment or in quarantine, and the bytes of a segment depend on its documents only."""

import gzip
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ropewalk.corpus.document import DOCUMENTS, Document, read_documents
from ropewalk.corpus.reading import folder as on_disk
from ropewalk.corpus.reading import unpacking
from ropewalk.corpus.reading.places import Reach
from ropewalk.corpus.reading.records import Limits
from ropewalk.events.base import Message
from ropewalk.events.data import CorpusIngested, RecordQuarantined, SegmentIngested, SourceRegistered
from ropewalk.ingest.adapters import quarantine, reader
from ropewalk.ingest.adapters.reader import IngestJob, ingest_all
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.stages.errors import StageError
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import verify

CHAT = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


@dataclass
class Ingested:
    corpus: CorpusIngested
    facts: list[tuple[Message, str] | None]
    objects: LocalObjects

    def of(self, kind: type[Message]) -> list[Message]:
        return [fact[0] for fact in self.facts if fact and type(fact[0]) is kind]

    @property
    def documents(self) -> list[Document]:
        return [
            document
            for segment in self.corpus.segments
            for document in read_documents(self.objects.fetch(segment.uri) / DOCUMENTS)
        ]

    @property
    def flaws(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for message in self.of(RecordQuarantined):
            assert isinstance(message, RecordQuarantined)
            folder = self.objects.fetch(message.uri)
            verify(folder)
            rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
            assert len(rows) == message.num_records
            found[message.reason] += [row["path"] for row in rows]
        return dict(found)


def ingest(
    tmp_path: Path, *folders: Path, limits: Limits | None = None, reach: Reach | None = None, **fields: object
) -> Ingested:
    recipe = [
        SourceRecipe.model_validate({"path": str(folder), "licence": "MIT", **fields})
        for folder in folders or (tmp_path / "in",)
    ]
    number = len(list(tmp_path.iterdir()))
    scratch = tmp_path / f"scratch-{number}"
    scratch.mkdir()
    objects = LocalObjects(tmp_path / "objects")
    facts: list[tuple[Message, str] | None] = []
    job = IngestJob(
        run_id="r",
        sources=tuple(recipe),
        limits=limits or Limits(),
        reach=reach or Reach(),
        store=StoreAddress(url=objects.root.as_uri()),
        scratch=scratch,
        fetched_at="2026-01-01T00:00:00+00:00",
    )
    corpus = ingest_all(job, lambda fact: facts.append(fact))  # type: ignore[arg-type]
    return Ingested(corpus, facts, objects)


def a_mixed_folder(root: Path) -> Path:
    root.mkdir()
    files = {
        "a.txt": b"first\n",
        "copy/a.txt": b"first\n",
        "b.md.gz": gzip.compress(b"second\n"),
        "c.rst.zst": zstandard.compress(b"third\n"),
        "d.jsonl": b'{"text": "fourth"}\n\nnot json\n{"body": "x"}\n' + CHAT,
        "e.jsonl.gz": gzip.compress(b'{"text": "fifth"}'),
        "image.png": b"\x89PNG\0\0",
        "latin.txt": b"caf\xe9",
        "blank.txt": b"\n",
        "big.txt": b"x" * 5_001,
        "long.jsonl": b'{"text": "' + b"x" * 200_000 + b'"}\n{"text": "after"}\n',
        "cut.gz": gzip.compress(b"y" * 900)[:-12],
        "broken.zst": b"no frame",
        ".hidden": b"not ours",
    }
    for name, raw in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(raw)
    (root / "dangling").symlink_to(root / "nowhere")
    return root


def test_every_file_is_a_document_or_in_quarantine_with_a_reason(tmp_path: Path) -> None:
    found = ingest(tmp_path, a_mixed_folder(tmp_path / "in"), limits=Limits(record_bytes=5_000))
    assert [(document.path, document.text) for document in found.documents if document.text] == [
        ("a.txt", "first\n"),
        ("b.md.gz", "second\n"),
        ("big.txt#1", "x" * 5_000),
        ("big.txt#2", "x"),
        ("c.rst.zst", "third\n"),
        ("copy/a.txt", "first\n"),
        ("d.jsonl#1", "fourth"),
        ("e.jsonl.gz#1", "fifth"),
        ("long.jsonl#2", "after"),
    ]
    assert [document.path for document in found.documents if document.messages] == ["d.jsonl#5"]
    assert found.flaws == {
        "binary": ["image.png"],
        "corrupt_archive": ["broken.zst", "cut.gz"],
        "empty": ["blank.txt"],
        "malformed_json": ["d.jsonl#3"],
        "missing_field": ["d.jsonl#4"],
        "not_utf8": ["latin.txt"],
        "oversized": ["long.jsonl#1"],
        "unreadable": ["dangling"],
    }
    assert found.corpus.num_documents == 10
    assert found.corpus.num_quarantined == 9


def test_the_same_content_has_the_same_document_id_packed_or_not(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"same\n")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"same\n"))
    one, two = ingest(tmp_path).documents
    assert one.doc_id == two.doc_id
    assert one.licence == "MIT"


def test_reading_again_at_another_time_gives_the_same_segments_and_event_keys(tmp_path: Path) -> None:
    folder = a_mixed_folder(tmp_path / "in")
    first = ingest(tmp_path, folder, limits=Limits(record_bytes=5_000, segment_bytes=12))
    (folder / "a.txt").touch()
    again = ingest(tmp_path, folder, limits=Limits(record_bytes=5_000, segment_bytes=12))
    assert first.corpus == again.corpus
    assert len(first.corpus.segments) > 2
    assert first.facts == again.facts
    assert len({(type(message), key) for message, key in filter(None, first.facts)}) == len(first.facts)


def test_segments_do_not_depend_on_the_order_in_which_the_disk_lists_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_mixed_folder(tmp_path / "in")
    first = ingest(tmp_path, folder)
    walk = on_disk.os.walk

    def backwards(*args: object, **options: object) -> object:
        for root, folders, names in walk(*args, **options):  # type: ignore[arg-type]
            folders.reverse()
            yield root, folders, names[::-1]

    monkeypatch.setattr(on_disk.os, "walk", backwards)
    assert ingest(tmp_path, folder).corpus == first.corpus


def test_segments_are_closed_at_their_size_and_hold_every_document_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text(f"{number}" * 100)
    found = ingest(tmp_path, limits=Limits(segment_bytes=250))
    assert [segment.num_documents for segment in found.corpus.segments] == [3, 3, 3, 1]
    assert [document.path for document in found.documents] == [f"{number}.txt" for number in range(10)]
    assert len(found.of(SegmentIngested)) == 4
    assert [message.num_files for message in found.of(SourceRegistered) if isinstance(message, SourceRegistered)] == [
        10
    ]


@pytest.mark.parametrize("name", ["bomb.txt.gz", "bomb.txt.zst"])
def test_a_decompression_bomb_is_quarantined_without_being_unpacked(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pack = gzip.compress if name.endswith(".gz") else zstandard.compress
    (folder / name).write_bytes(pack(b"x" * 30_000_000))
    (folder / "good.txt").write_text("good")
    found = ingest(tmp_path)
    assert found.flaws == {"decompression_bomb": [name]}
    assert found.corpus.num_documents == 1


def test_a_bomb_of_many_lines_stops_at_the_growth_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_FREE_BYTES", 100_000)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "bomb.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' + b"\n" * 20_000_000))
    found = ingest(tmp_path)
    assert list(found.flaws) == ["decompression_bomb"]
    assert [document.text for document in found.documents] == ["a"]


def test_one_source_listed_twice_is_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    assert ingest(tmp_path, folder, folder).corpus.num_documents == 1


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "talks.jsonl").write_bytes(CHAT)
    (document,) = ingest(tmp_path, tmp_path / "talks.jsonl").documents
    assert document.path == "talks.jsonl#1"
    assert replace(document, messages=()).text == ""


def test_an_empty_folder_stops_the_run_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(
        StageError, match=r"corpus is empty: no file in .*/in matches .*change the path or the patterns"
    ):
        ingest(tmp_path)


def test_a_corpus_of_flaws_stops_the_run_and_names_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"\0")
    with pytest.raises(StageError, match=r"every record was quarantined \(1 binary\)"):
        ingest(tmp_path)


def test_a_source_that_is_one_long_text_becomes_several_documents(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(f"Paragraph {number}.\n\n" for number in range(3000)))
    found = ingest(tmp_path, tmp_path / "book.txt")
    assert [document.path for document in found.documents][:2] == ["book.txt#1", "book.txt#2"]
    assert len(found.documents) > 4


def test_names_of_any_bytes_travel_in_every_fact(tmp_path: Path) -> None:
    """Also where such a file is the first of many, and as a folder."""
    folder = tmp_path / "in" / os.fsdecode(b"caf\xe9\x1b[31m")
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"\xff.txt")).write_text("good")
    (folder / os.fsdecode(b"a\n\xfe.txt")).write_bytes(b"\0")
    (tmp_path / "in" / "z.txt").write_text("more")
    found = ingest(tmp_path)
    assert [document.path for document in found.documents] == ["caf\\udce9\\x1b[31m/\\udcff.txt", "z.txt"]
    (quarantined,) = found.of(RecordQuarantined)
    assert isinstance(quarantined, RecordQuarantined)
    assert all(example.isprintable() for example in quarantined.examples)
    assert quarantined.model_validate_json(quarantined.model_dump_json()) == quarantined


def test_a_hundred_thousand_flaws_are_counted_and_their_places_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_NUM_PLACES", 1000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(b'{"text": "good"}\n' + b'{"name": 1}\n' * 100_000)
    found = ingest(tmp_path)
    (quarantined,) = found.of(RecordQuarantined)
    assert isinstance(quarantined, RecordQuarantined)
    assert (quarantined.num_records, found.corpus.num_quarantined) == (100_000, 100_000)
    assert [example.partition(":")[0] for example in quarantined.examples] == ["a.jsonl#2", "a.jsonl#3", "a.jsonl#4"]
    assert len((found.objects.fetch(quarantined.uri) / "records.jsonl").read_bytes().splitlines()) == 1000


def test_the_sentence_of_a_corpus_of_flaws_names_a_place_of_each(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id,text\n")
    (tmp_path / "in" / "b.jsonl").write_text('{"body": "x"}\n')
    with pytest.raises(StageError, match=r"1 missing_field.*b\.jsonl#1: no text in the field 'text'") as raised:
        ingest(tmp_path)
    assert "a.csv: a table (CSV)" in str(raised.value)


def test_the_stacks_own_folder_within_a_source_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "in" / "state").mkdir(parents=True)
    (tmp_path / "in" / "state" / "credentials.json").write_text("secret")
    (tmp_path / "in" / "secret.txt").symlink_to("state/credentials.json")
    (tmp_path / "in" / "a.txt").write_text("good")
    found = ingest(tmp_path, reach=Reach(closed=(tmp_path / "in" / "state",)))
    assert [document.text for document in found.documents] == ["good"]
    assert found.flaws == {"closed_place": ["secret.txt", "state"]}


def test_reading_what_gives_no_fact_for_long_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_PULSE_S", 0.0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(b"no json\n" * 100_000 + b'{"text": "good"}')
    found = ingest(tmp_path)
    assert found.facts.count(None) > 5
    assert found.corpus.num_documents == 1


def test_an_error_of_our_own_reading_names_the_place_and_ends_the_run_at_once() -> None:
    def stumbling() -> Iterator[Any]:
        yield "a.jsonl#6", None
        raise IndexError("out of range")

    records = reader.naming_the_place("a.jsonl", stumbling())
    assert next(records) == ("a.jsonl#6", None)
    with pytest.raises(StageError, match=r"^reading stopped behind the record a\.jsonl#6: IndexError: out of range"):
        next(records)


def test_a_fault_of_the_disk_while_reading_is_tried_again() -> None:
    def failing() -> Iterator[Any]:
        raise MemoryError
        yield

    with pytest.raises(MemoryError):
        next(reader.naming_the_place("a.jsonl", failing()))
