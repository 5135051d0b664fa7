"""What no reader understands is set aside under its own name, and never trained on as raw markup."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ropewalk.corpus.reading.kinds import kind_by_beginning, kind_by_name

Read = Callable[..., Any]
NOTEBOOK = json.dumps({"cells": [{"cell_type": "code", "source": ["1"]}], "nbformat": 4}, indent=1)
HTML = "<!DOCTYPE html>\n<html><body><p>Words in a page.</p></body></html>\n"
WARC = "WARC/1.0\r\nWARC-Type: response\r\n\r\nwords\r\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "id,text\n1,words\n", "unsupported_csv"),
        ("a.TSV", "id\ttext\n1\twords\n", "unsupported_csv"),
        ("a.html", HTML, "unsupported_html"),
        ("a.HTM", "<p>words", "unsupported_html"),
        ("page.txt", HTML, "unsupported_html"),
        ("page", "\ufeff\n <html lang='en'>words", "unsupported_html"),
        ("saved.txt", "<!-- saved from url=(0022)http://example.org/ -->\n<!-- x -->\n" + HTML, "unsupported_html"),
        ("book.txt", "<!DOCTYPE book PUBLIC 'x'>\n<book/>", "unsupported_xml"),
        ("a.json", '[{"text": "words"}]', "unsupported_json"),
        ("array.txt", '[{"text": "words"},\n{"text": "more"}]', "unsupported_json"),
        ("lines.txt", '{"text": "words"}\n{"text": "more"}\n', "unsupported_json"),
        ("lines.json", '{"text": "words"}\n{"text": "more"}\n', "unsupported_json"),
        ("array.jsonl", '[{"text": "words"}]', "unsupported_json"),
        ("pretty.jsonl", '{\n  "text": "words"\n}\n', "unsupported_json"),
        ("a.ipynb", NOTEBOOK, "unsupported_notebook"),
        ("a.warc", WARC, "unsupported_warc"),
        ("crawl.txt", WARC, "unsupported_warc"),
        ("a.xml", "<?xml version='1.0'?><doc/>", "unsupported_xml"),
        ("drawing.svg", "<svg/>", "unsupported_xml"),
        ("a.parquet", "PAR1", "unsupported_table"),
        ("a.pdf", "%PDF-1.7", "unsupported_document"),
        ("letter.txt", "{\\rtf1 words}", "unsupported_document"),
        ("a.zip", "PK\x03\x04", "unsupported_archive"),
        ("a.tar.gz", "words", "unsupported_archive"),
        ("a.mbox", "From a@b\n", "unsupported_mail"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nwords\n", "unsupported_subtitles"),
    ],
)
def test_what_is_not_understood_is_set_aside_under_its_name(
    source: Path, name: str, content: str, reason: str, read: Read
) -> None:
    (source / name).write_text(content)
    (source / "good.txt").write_text("good")
    found = read(source)
    assert found.texts == {"good.txt": "good"}
    ((place, flaw),) = found.flaws
    assert (place, flaw.reason) == (name, reason)
    assert ": " in flaw.detail


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_file_is_known_by_its_inner_name_and_by_its_content(
    source: Path, pack: Callable[[bytes], bytes], read: Read
) -> None:
    suffix = ".gz" if pack is gzip.compress else ".ZST"
    (source / f"a.csv{suffix}").write_bytes(pack(b"id,text\n"))
    (source / f"page.txt{suffix}").write_bytes(pack(HTML.encode()))
    assert set(read(source).reasons.values()) == {"unsupported_csv", "unsupported_html"}


def test_with_the_format_text_every_file_is_taken_as_it_is(source: Path, read: Read) -> None:
    files = {"a.csv": "id,text\n", "a.html": HTML, "a.ipynb": NOTEBOOK, "a.json": "[]", "a.txt": '{"a": 1}\n{"a": 2}\n'}
    for name, content in files.items():
        (source / name).write_text(content)
    assert read(source, format="text").texts == files


def test_json_lines_under_another_name_are_read_when_the_recipe_says_so(source: Path, read: Read) -> None:
    (source / "a.json").write_text('{"text": "one"}\n{"text": "two"}\n')
    (source / "b.json").write_text('[{"text": "three"}]')
    (source / "c.csv").write_text("id,text\n" * 1000)
    found = read(source, format="jsonl")
    assert list(found.texts.values()) == ["one", "two"]
    assert found.reasons == {"b.json": "unsupported_json", "c.csv": "unsupported_csv"}


@pytest.mark.parametrize(
    "text",
    [
        "The tag <html> opens a page, as everybody knows.",
        "{braces} are not JSON",
        "[section]\nkey = value\n",
        "[1] A reference, as in a bibliography.",
        "# A title\n\n<div align=center>words</div>",
        "PKG and PAR are words",
        "<!-- a comment of Markdown -->\n# A title",
        '<p align="center">A readme</p>',
    ],
)
def test_a_text_that_only_mentions_markup_is_a_text(source: Path, text: str, read: Read) -> None:
    for name in ("a.txt", "a.md", "README", "notes.csv-explained"):
        (source / name).write_text(text)
    assert set(read(source).texts.values()) == {text}


@pytest.mark.parametrize("name", ["csv", ".csv", "a.csv.txt", "x.json/a.txt", "a.py", "Makefile", "", "a."])
def test_a_name_without_a_known_suffix_says_nothing(name: str) -> None:
    assert kind_by_name(name) is None


def test_a_json_without_end_is_no_trap() -> None:
    assert kind_by_beginning(b"[" * 100_000) is None
    assert kind_by_beginning(b"{" * 100_000 + b"\n{") is None


@pytest.mark.parametrize(
    ("start", "item", "end", "name"),
    [
        (b"[", b'{"text": "words", "n": 1},\n', b"{}]", "unsupported_json"),
        (b"", b'{"text": "words", "n": 1}\n', b"", "unsupported_json"),
        (b'{"a": [', b"[], ", b"1]}", "unsupported_json"),
        (b"[", b"1, ", b"1]", "unsupported_json"),
        (b"{ ", b"a set of words, ", b"}", ""),
        (b"[1] ", b"A reference, and more. ", b"", ""),
    ],
)
def test_a_large_json_is_known_by_its_beginning(start: bytes, item: bytes, end: bytes, name: str) -> None:
    kind = kind_by_beginning(start + item * (3_000_000 // len(item)) + end)
    assert (kind.reason if kind else "") == name
