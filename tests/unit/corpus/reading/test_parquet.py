"""Parquet is read as JSON lines are: a row is a record, and what cannot be read is set aside with a reason."""

import gzip
import json
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ropewalk.corpus.draft import draft_recipe
from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.records import Content, Flaw, Limits
from ropewalk.corpus.reading.sources import list_files
from ropewalk.corpus.reading.survey import survey
from ropewalk.recipes.recipe import SourceRecipe

Read = Callable[..., Any]
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
TYPES = pa.schema(
    [
        ("text", pa.string()),
        ("author", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int64())]))),
    ]
)


def write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None, **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema), path, **options)
    return path


def write_column(path: Path, column: pa.Array, name: str = "text") -> Path:
    pq.write_table(pa.table({name: column}), path, compression="zstd")
    return path


@pytest.mark.parametrize("fields", [{"format": "chat"}, {"text_field": "text"}, {"key_field": "author"}])
def test_rows_are_the_documents_that_json_lines_of_them_are(source: Path, fields: dict[str, str], read: Read) -> None:
    rows: list[dict[str, Any]] = [
        {"text": f"grüße {number}", "author": None, "messages": TURNS} for number in range(200)
    ]
    rows[7]["author"] = "ann"
    rows[9]["messages"] = [{"role": "tool", "content": "x"}]
    rows[130]["messages"] = [*TURNS, {"role": "assistant", "content": "not learnt", "weight": 0}]
    (source / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(source / "b.parquet", rows, TYPES, row_group_size=50)
    found = read(source, **fields)
    lines, table = (
        [(place.partition("#")[2], content) for place, content in found.contents.items() if place.startswith(name)]
        for name in "ab"
    )
    assert lines
    assert table == lines
    aside = [(place.partition("#")[2], flaw.reason) for place, flaw in found.flaws]
    assert aside[len(aside) // 2 :] == aside[: len(aside) // 2]


def test_the_column_is_that_of_the_recipe_and_other_columns_are_not_decoded(source: Path, read: Read) -> None:
    write(source / "a.parquet", [{"body": "words", "blob": b"\xff" * 99}, {"body": None, "blob": b""}])
    found = read(source, text_field="body")
    assert found.texts == {"a.parquet#1": "words"}
    ((place, flaw),) = found.flaws
    assert (place, flaw.detail) == ("a.parquet#2", "no text in the field 'body'; the record has: body")


@pytest.mark.parametrize(("fields", "wanted"), [({}, "text"), ({"format": "chat"}, "messages")])
def test_a_table_without_such_a_column_is_one_flaw_that_names_those_it_has(
    source: Path, fields: dict[str, str], wanted: str, read: Read
) -> None:
    write(source / "a.parquet", [{"title": "t", "body": "words"}] * 3)
    ((place, flaw),) = read(source, **fields).flaws
    assert (place, flaw.reason) == ("a.parquet", "unsupported_table")
    assert flaw.detail.startswith(f"a table without a column '{wanted}'; it has: title, body; name the one")


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["one", "two", "one"]).dictionary_encode(),
        pa.array([b"one", b"two", b"one"]),
        pa.array(["one", "two", "one"], pa.large_string()),
        pa.array(["one", "two", "one"], pa.string_view()),
    ],
    ids=["a dictionary", "bytes", "a large string", "a view"],
)
def test_a_text_is_one_however_its_column_is_written(source: Path, column: pa.Array, read: Read) -> None:
    write_column(source / "a.parquet", column)
    assert list(read(source).texts.values()) == ["one", "two", "one"]


def test_bytes_that_are_no_text_are_set_aside_row_by_row(source: Path, read: Read) -> None:
    write_column(source / "a.parquet", pa.array([b"good", b"caf\xe9", b"good too"]))
    found = read(source)
    assert list(found.texts.values()) == ["good", "good too"]
    assert found.reasons == {"a.parquet#2": "not_utf8"}


def test_a_table_under_any_name_is_read_where_its_format_is_said(source: Path, read: Read) -> None:
    write(source / "rows.dat", [{"text": "words"}])
    assert read(source).reasons == {"rows.dat": "unsupported_table"}
    assert read(source, format="parquet").texts == {"rows.dat#1": "words"}
    assert read(source, format="text").reasons == {"rows.dat": "binary"}


def test_a_table_within_an_archive_is_set_aside_with_the_remedy(source: Path, read: Read) -> None:
    raw = write(source / "a.parquet", [{"text": "words"}]).read_bytes()
    (source / "a.parquet").rename(source / "b.pq")
    (source / "c.parquet.gz").write_bytes(gzip.compress(raw))
    found = read(source)
    assert found.texts == {"b.pq#1": "words"}
    assert "unpack it" in found.flaws[0][1].detail


def test_a_table_of_no_rows_is_said_to_be_empty(source: Path, read: Read) -> None:
    write(source / "a.parquet", [], TYPES)
    assert read(source).reasons == {"a.parquet": "empty"}


@pytest.mark.parametrize("kept", [0, 3, 11, 400, -1])
def test_a_table_that_is_cut_short_is_set_aside_and_the_rest_is_read(source: Path, kept: int, read: Read) -> None:
    raw = write(source / "a.parquet", [{"text": f"words {number}"} for number in range(99)]).read_bytes()
    (source / "a.parquet").write_bytes(raw[:kept])
    (source / "b.txt").write_text("good")
    found = read(source)
    assert found.texts == {"b.txt": "good"}
    assert found.reasons == {"a.parquet": "corrupt_table"}


def test_damage_anywhere_in_a_table_ends_in_documents_and_flaws(source: Path, read: Read) -> None:
    rows = [{"text": f"words {number} " * 9, "author": "ann", "messages": TURNS} for number in range(300)]
    raw = write(source / "a.parquet", rows, TYPES, row_group_size=100).read_bytes()
    draw = random.Random(11)
    reasons: set[str] = set()
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(draw.choice([1, 1, 4, 50])):
            damaged[draw.randrange(len(raw))] = draw.randrange(256)
        (source / "a.parquet").write_bytes(damaged)
        reasons |= {flaw.reason for _, flaw in read(source).flaws}
    assert "corrupt_table" in reasons


def test_a_row_beyond_the_limit_is_set_aside_and_a_text_below_it_is_cut(source: Path, read: Read) -> None:
    write(source / "a.parquet", [{"text": "x" * 500}, {"text": "word " * 60}, {"text": "good"}])
    found = read(source, Limits(record_bytes=100))
    assert found.reasons == {"a.parquet#1": "oversized"}
    assert "".join(text for place, text in found.texts.items() if "#2." in place) == "word " * 60
    assert found.texts["a.parquet#3"] == "good"


WRITTEN = """
import pyarrow as pa, pyarrow.parquet as pq, sys
pq.write_table(pa.table({"text": ["a" * 100_000_000]}), sys.argv[1] + "/a.parquet", compression="zstd")
"""
READ = """
import resource, sys
from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.readers import parquet
from ropewalk.corpus.reading.records import Flaw, Limits
from ropewalk.corpus.reading.sources import list_files
from ropewalk.recipes.recipe import SourceRecipe

parquet._MEMORY_BYTES = 50_000_000
before = resource.getrlimit(resource.RLIMIT_DATA)
recipe = SourceRecipe(path=sys.argv[1], licence="MIT")

for file in list_files(recipe):
    for place, found in contents(file, recipe, Limits()):
        print(f"{place}: {found.reason if isinstance(found, Flaw) else found.text}")
print(resource.getrlimit(resource.RLIMIT_DATA) == before)
"""


def test_a_page_that_grows_beyond_the_memory_is_one_flaw(source: Path) -> None:
    """In a process of its own: what this one had once, it would get again without asking the kernel."""
    subprocess.run([sys.executable, "-c", WRITTEN, str(source)], check=True)
    write(source / "b.parquet", [{"text": "small"}])
    assert (source / "a.parquet").stat().st_size < 50_000
    done = subprocess.run([sys.executable, "-c", READ, str(source)], check=True, capture_output=True, text=True)
    assert done.stdout == "a.parquet: oversized\nb.parquet#1: small\nTrue\n"


def test_a_dictionary_that_repeats_a_large_text_is_read_one_row_at_a_time(source: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), ["a" * 1_000_000])
    write_column(source / "a.parquet", column)  # a terabyte of text
    recipe = SourceRecipe(path=str(source), licence="MIT")
    [file] = list_files(recipe)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(islice(contents(file, recipe, Limits()), 5))
    assert all(isinstance(content, Content) and content.num_bytes == 1_000_000 for _, content in found)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize("kind", [pa.list_(pa.int8()), pa.list_(pa.null()), pa.list_(pa.struct([("role", pa.null())]))])
def test_a_row_of_more_values_than_memory_holds_is_set_aside(source: Path, kind: pa.DataType, read: Read) -> None:
    values = pa.nulls(3_000_000, kind.value_type)
    column = pa.ListArray.from_arrays(pa.array([0, 3_000_000], pa.int32()), values)
    write_column(source / "a.parquet", column, "messages")
    assert read(source).reasons == {"a.parquet#1": "oversized"}


def test_a_column_that_is_nested_too_deeply_is_not_touched(source: Path, read: Read) -> None:
    kind: pa.DataType = pa.string()
    for _ in range(20):
        kind = pa.struct([("a", kind)])
    write_column(source / "a.parquet", pa.nulls(2, kind), "messages")
    ((place, flaw),) = read(source).flaws
    assert (place, flaw.reason) == ("a.parquet", "unsupported_table")
    assert flaw.detail == "the column 'messages' is nested too deeply"


def test_a_table_with_two_columns_of_one_name_is_one_flaw_that_names_it(source: Path, read: Read) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["text", "x", "text"])
    pq.write_table(table, source / "a.parquet")
    write(source / "b.parquet", [{"text": "good"}])
    found = read(source)
    ((place, flaw),) = found.flaws
    assert (place, flaw.reason) == ("a.parquet", "unsupported_table")
    assert flaw.detail == "the table has two columns of the name 'text'; give each column a name of its own"
    assert found.texts == {"b.parquet#1": "good"}


def test_a_table_that_grows_beyond_any_text_is_read_up_to_the_bound(source: Path, read: Read) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), ["a" * 7_000_000])
    write_column(source / "a.parquet", column)  # 35 GB of text
    write(source / "b.parquet", [{"text": "good"}])
    found = read(source)
    assert found.reasons == {"a.parquet": "decompression_bomb"}
    assert found.flaws[0][1].detail == "the table grows more than 250-fold; from row 3 on it is not read"
    assert sorted(place for place in found.texts) == ["a.parquet#1", "a.parquet#2", "b.parquet#1"]


def test_rows_without_a_value_are_read_up_to_a_bound_too(source: Path) -> None:
    write_column(source / "a.parquet", pa.nulls(5_000_000, pa.string()))
    recipe = SourceRecipe(path=str(source), licence="MIT")
    [file] = list_files(recipe)
    reasons = [found.reason for _, found in contents(file, recipe, Limits()) if isinstance(found, Flaw)]
    assert reasons[-1] == "decompression_bomb"
    assert set(reasons[:-1]) == {"missing_field"}
    assert len(reasons) < file.num_bytes + 64_002


def test_more_row_groups_than_can_be_held_are_refused(source: Path, read: Read) -> None:
    write(source / "a.parquet", [{"text": "x"}] * 5001, row_group_size=1)
    assert read(source).reasons == {"a.parquet": "corrupt_table"}


def test_a_survey_counts_rows_and_estimates_the_rest(source: Path) -> None:
    rows = [{"text": f"{number} " + "words " * 50} for number in range(5000)]
    write(source / "a.parquet", rows, compression="none", use_dictionary=False)
    recipe = SourceRecipe(path=str(source), licence="MIT")
    found = survey((recipe,))
    assert [(kind.kind, kind.suffix) for kind in found.kinds] == [("records", ".parquet")]
    assert (found.num_documents, found.is_estimate, found.set_aside) == (5000, False, ())


def test_a_recipe_is_drafted_from_the_columns_of_a_table(source: Path) -> None:
    write(source / "a.parquet", [{"id": "1", "body": "a text " * 30, "title": "a title"} for _ in range(50)])
    draft = draft_recipe(source)
    assert draft.fields["sources"] == [{"path": str(source), "licence": "LicenseRef-private", "text_field": "body"}]
    assert draft.found.num_documents == 50


def test_without_the_library_a_table_is_set_aside_with_what_to_install(
    source: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source / "a.parquet", [{"text": "words"}])
    monkeypatch.delitem(sys.modules, "ropewalk.corpus.reading.readers.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ((_, flaw),) = read(source).flaws
    assert flaw.detail == "reading it needs pyarrow: `pip install 'ropewalk[ingest]'`"
    assert draft_recipe(source).found.num_documents == 0
