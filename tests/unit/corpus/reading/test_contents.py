"""The records of files with marks, odd names and large texts."""

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropewalk.corpus.reading.records import Limits

Read = Callable[..., Any]
MARK = b"\xef\xbb\xbf"


def test_a_byte_order_mark_before_a_record_is_no_part_of_it(source: Path, read: Read) -> None:
    (source / "0.jsonl").write_bytes(MARK + b'{"text": "one"}')
    (source / "1.jsonl").write_bytes(MARK + b'{"text": "two"}\r\n' + MARK + b'{"text": "three"}\r\n')
    (source / "2.jsonl").write_bytes(MARK + b"\r\n")
    (source / "3.jsonl.gz").write_bytes(gzip.compress(MARK + b'{"text": "four"}'))
    found = read(source)
    assert list(found.texts.values()) == ["one", "two", "three", "four"]
    assert found.reasons == {"2.jsonl": "empty"}


@pytest.mark.parametrize("name", ["A.JSONL", "a.Jsonl", "a.NDJSON", "A.JSONL.GZ", "a.jsonl.Gz"])
def test_suffixes_are_read_however_they_are_written(source: Path, name: str, read: Read) -> None:
    raw = b'{"text": "one"}\n'
    (source / name).write_bytes(gzip.compress(raw) if name.lower().endswith(".gz") else raw)
    assert read(source).texts == {f"{name}#1": "one"}


def test_a_text_above_the_limit_is_cut_where_a_paragraph_ends(source: Path, read: Read) -> None:
    text = "".join(f"Paragraph {number} of a long book.\nIts second line.\n\n" for number in range(400))
    (source / "book.txt").write_bytes(MARK + text.encode())
    (source / "other.txt").write_text("other")
    found = read(source, limits=Limits(record_bytes=5000))
    del found.contents["other.txt"]
    assert "".join(found.texts.values()) == text
    assert list(found.texts) == [f"book.txt#{number}" for number in range(1, len(found.texts) + 1)]
    assert all(len(part.encode()) <= 5000 and part.endswith("\n\n") for part in found.texts.values())
    assert len({content.split_key for content in found.contents.values()} - {""}) == 1


@pytest.mark.parametrize("letter", ["x", "é", "船", "🚢"])
def test_a_text_without_any_white_space_is_cut_between_characters(source: Path, letter: str, read: Read) -> None:
    (source / "a.txt").write_text(letter * 5000)
    (source / "b.txt").write_text("other")
    found = read(source, limits=Limits(record_bytes=1000))
    del found.contents["b.txt"]
    assert found.flaws == []
    assert "".join(found.texts.values()) == letter * 5000


def test_a_long_text_in_a_record_is_cut_too_but_a_conversation_is_not(source: Path, read: Read) -> None:
    text = "words and words\n" * 200
    chat = [{"role": "user", "content": text}, {"role": "assistant", "content": "b"}]
    lines = [{"text": text}, {"messages": chat}, {"text": "x" * 9000}, {"text": "after"}]
    (source / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read(source, limits=Limits(record_bytes=2000))
    assert found.texts.pop("a.jsonl#4") == "after"
    parts = [found.texts[f"a.jsonl#1.{number}"] for number in (1, 2)]
    assert "".join(parts) == text
    assert found.reasons == {"a.jsonl#2": "oversized", "a.jsonl#3": "oversized"}


@pytest.mark.parametrize(
    ("ending", "reason"), [(b"caf\xe9", "not_utf8"), (b"a\0b", "binary"), (b"\xe8\x88", "not_utf8")]
)
def test_a_long_text_that_is_flawed_at_its_end_is_set_aside_as_a_whole(
    source: Path, ending: bytes, reason: str, read: Read
) -> None:
    (source / "a.txt").write_bytes(b"many words\n" * 1000 + ending)
    found = read(source, limits=Limits(record_bytes=1000))
    assert (found.contents, found.reasons) == ({}, {"a.txt": reason})


def test_a_folder_of_one_text_is_cut_like_a_source_that_is_one_text(source: Path, read: Read) -> None:
    (source / "book.txt").write_text("".join(f"Paragraph {number}.\n\n" for number in range(3000)))
    assert len(read(source).contents) > 4
    assert read(source).texts == read(source / "book.txt").texts


def test_a_line_of_a_hundred_megabytes_is_passed_over_in_bounded_memory(source: Path, read: Read) -> None:
    with (source / "a.jsonl").open("wb") as file:
        file.write(b'{"text": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"text": "after"}\n')
    tracemalloc.start()
    try:
        found = read(source, limits=Limits(record_bytes=1_000_000))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert found.texts == {"a.jsonl#2": "after"}
    assert found.reasons == {"a.jsonl#1": "oversized"}


def test_a_file_with_a_hole_of_a_terabyte_costs_no_time(source: Path, read: Read) -> None:
    for name in ("a.jsonl", "b.txt"):
        (source / name).touch()
        os.truncate(source / name, 2**40)
    assert set(read(source).reasons.values()) == {"binary"}


def test_a_nul_in_one_record_costs_only_that_record(source: Path, read: Read) -> None:
    (source / "a.jsonl").write_bytes(b'{"text": "one"}\n\0\0\0\n{"text": "two"}\n')
    found = read(source)
    assert list(found.texts.values()) == ["one", "two"]
    assert list(found.reasons) == ["a.jsonl#2"]
