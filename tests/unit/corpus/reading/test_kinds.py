"""What no reader understands is set aside under its own name, and never trained on as raw markup."""

import csv
import gzip
import io
import json
import time
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
        ("a.dat", "PAR1", "unsupported_table"),
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


ROWS = [("id", "name", "comment"), *((str(n), f"Ann {n}", "ropes, and sails") for n in range(9))]
PARAGRAPHS = "".join(f"<p>Ropes and sails of the harbour {n}.</p>\n" for n in range(9))
MAIL = "Received: from x by y\nFrom: a@b.c\nTo: d@e.f\nSubject: hi\n there\n\nWords.\n"
PLAIN_MAIL = "From: Ann <a@b.c>\r\nTo: d@e.f\r\nSubject: hi\r\nDate: Mon, 1 Jan 2024\r\n\r\nWords.\r\n"


def table(delimiter: str) -> str:
    lines = io.StringIO()
    csv.writer(lines, delimiter=delimiter).writerows(ROWS)
    return lines.getvalue()


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a", "a.txt.gz"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (table(","), "unsupported_csv"),
        (table("\t"), "unsupported_csv"),
        (table("|"), "unsupported_csv"),
        (table(";"), "unsupported_csv"),
        ('"q","a"\n"Where, oh where?","There."\n"Who?","You."\n', "unsupported_csv"),
        ("1,2,3\n4,5,6\n7,8,9\n", "unsupported_csv"),
        ("a, b, c\n" * 6, "unsupported_csv"),
        ("word\tmeaning\nfox\tan animal\nsea\tmuch water\n", "unsupported_csv"),
        ("Prices of the year\n\n" + "2020-01-01,1,2,3\n" * 20 + "sum,60\n", "unsupported_csv"),
        ("From a@b.c Thu Jan  1 00:00:00 2020\n" + MAIL, "unsupported_mail"),
        (MAIL, "unsupported_mail"),
        (PLAIN_MAIL, "unsupported_mail"),
        ("WARC/0.17\r\nWARC-Type: response\r\n", "unsupported_warc"),
        ("filedesc://x.arc 0.0.0.0 20200101000000 text/plain 76\n1 0 InternetArchive\n", "unsupported_warc"),
        ('{"text": "one"}{"text": "two"}', "unsupported_json"),
        ('{"text": "one"} {"text": "two"}', "unsupported_json"),
        ('\x1e{"text": "one"}\n\x1e{"text": "two"}\n', "unsupported_json"),
        ('[0, "one"]\n[1, "two"]\n', "unsupported_json"),
        ('{\n "text": "one"\n}\n{\n "text": "two"\n}\n', "unsupported_json"),
        ('[{"text": "one", "x": NaN},]', "unsupported_json"),
        (json.dumps(['ropes "and" sails ' * 100] * 100), "unsupported_json"),
        ("[[[1, 2.5, -3e7], [true, null]]]", "unsupported_json"),
        ("1\n00:00:01,000 --> 00:00:02,000\nwords\n", "unsupported_subtitles"),
        ("0:00:01.000,0:00:02.000\nwords\n", "unsupported_subtitles"),
        ("[Script Info]\nTitle: x\n", "unsupported_subtitles"),
        ("<feed xmlns='http://www.w3.org/2005/Atom'><entry/></feed>", "unsupported_xml"),
        ("<channel>\n<item>words</item>\n</channel>\n", "unsupported_xml"),
        ("<rdf:RDF xmlns:rdf='http://x'>" + "<a/>words" * 9000, "unsupported_xml"),
        ("<div class='post'><p>Words.</p></div>", "unsupported_html"),
        (PARAGRAPHS, "unsupported_html"),
        ("<table><tr><td>Words</td></tr></table>", "unsupported_html"),
        ("<title>x</title>\nWords", "unsupported_html"),
        ("<meta charset=utf-8>Words", "unsupported_html"),
        ("<!-- made by a program -->\n<div>Words.</div>", "unsupported_html"),
        ("Ropes and sails\n" + PARAGRAPHS.replace("<p>", "<p class='of the harbour'>") * 9, "unsupported_html"),
    ],
)
def test_markup_and_tables_are_known_by_their_content(
    source: Path, name: str, content: str, reason: str, read: Read
) -> None:
    raw = content.encode()
    (source / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    (source / "good.txt").write_text("good")
    found = read(source)
    assert found.texts == {"good.txt": "good"}
    assert found.reasons == {name: reason}
    assert read(source, format="text").texts[name] == content


def test_a_table_in_utf16_is_a_table(source: Path, read: Read) -> None:
    (source / "a.txt").write_bytes(table(";").encode("utf-16"))
    assert read(source).reasons == {"a.txt": "unsupported_csv"}


@pytest.mark.parametrize("name", ["a.yaml", "a.YML", "a.toml", "a.toml.gz"])
def test_settings_are_no_prose(source: Path, name: str, read: Read) -> None:
    raw = b"[section]\nkey = 1\n"
    (source / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert read(source).reasons == {name: "unsupported_settings"}


@pytest.mark.parametrize(
    "text",
    [
        "Ropes, and sails.\nStars, and seas.\nFoxes, and dogs.\nMen, and women.\n",
        "Ann, Bob and Cleo came.\nThey sang, and left, and slept.\nNobody knew.\n",
        "From here to there: a way.\nTo: the sea.\n",
        "From: Ann\n\nDear Bob, words.\n",
        "Name: Ann\nAge: 7\nFrom: Rome\n\nA card.\n",
        "a = 1;\nb = 2;\nc = 3;\nd = 4;\ne = 5;\nf = 6;\n",
        "words = [\n" + '    "rope",\n    "sail",\n' * 9 + "]\n",
        "\tan indented\n\ttext of\n\ta few lines\n\tis no table\n",
        "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
        "<div align='center'>\n<img src=x>\n</div>\n\nA readme.\n",
        "<div id=top></div>\n\n# Title\n\n<p>Words</p>\n",
        "<a@b.c> wrote: words",
        "<http://example.org/> is a page.",
        "[1]: a reference\n[2]: another\n",
        '"Hello," she said.\n"Who, me?" he asked.\n"Yes," she said.\n',
        "1\n2\n3\n",
        "At 00:01:02 it began.\n00:01:03, and 00:01:04, words.\n",
        "---\ntitle: A page\n---\n\nWords.\n",
        "# Versions\n\n" + "<tr><td class='of the harbour'>1.2</td></tr>\n" * 30,
        "<script setup>\nimport a from 'a'\n</script>\n\n# Title\n\nWords.\n",
        "<table><tr><td>1</td></tr></table>\n\n[a page](of.html)\n",
        ".. |agr| unicode:: U+003B1 .. GREEK\n.. |bgr| unicode:: U+003B2 .. GREEK\n" * 5,
    ],
)
def test_prose_and_code_are_not_taken_for_markup(source: Path, text: str, read: Read) -> None:
    for name in ("a.txt", "a.md", "a"):
        (source / name).write_text(text)
    assert set(read(source).texts.values()) == {text}


@pytest.mark.parametrize(
    ("name", "text"), [("a.vue", "<table><tr/></table>"), ("a.c", "1,2,3,\n" * 9), ("a.py", '[{"a": 1}]')]
)
def test_the_structure_of_source_code_says_nothing(source: Path, name: str, text: str, read: Read) -> None:
    (source / name).write_text(text)
    assert list(read(source).texts.values()) == [text]


@pytest.mark.parametrize(
    ("raw", "remedy"),
    [
        (gzip.compress(bytes(range(256)) * 50, 0), "a gzip archive: add .gz to its name"),
        (zstandard.compress(b"\n" * 99), "a zstandard archive: add .zst to its name"),
        (b"PAR1\n\n\n", "a table (Parquet) under another name"),
        (b"%PDF-1.7\n\n", "a document"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a"])
def test_an_archive_under_another_name_is_one_flaw(
    source: Path, raw: bytes, remedy: str, name: str, read: Read
) -> None:
    (source / name).write_bytes(raw)
    ((place, flaw),) = read(source).flaws
    assert place == name
    assert flaw.detail.startswith(remedy)
    assert "format: text" not in flaw.detail  # bytes are no text, whatever they are taken for


@pytest.mark.parametrize(
    "raw",
    [
        b"<!-- -->" * 8000 + b"x",
        b"<p " * 20_000,
        b'{"' * 30_000,
        b'["' + b"\\" * 60_000,
        b"<a " + b" xmlns" * 10_000,
        b'"' * 64_000,
        b",\n" * 30_000,
        b"|" * 64_000,
        b"From: a\n" * 8000,
        b"](" * 32_000,
        b"<p>" + b"<" * 64_000,
        b"1" + b" " * 64_000,
        b"0:00.0" + b" " * 64_000,
        b'"' + b",\n" * 32_000,
    ],
)
def test_no_beginning_takes_long_to_look_at(raw: bytes) -> None:
    began = time.process_time()
    kind_by_beginning(raw)
    assert time.process_time() - began < 2
