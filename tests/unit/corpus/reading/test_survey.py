"""A look at the data costs a bounded amount, is exact where it saw all, and says where it did not."""

import gzip
import time
from pathlib import Path

import pytest

from ropewalk.corpus.reading.looking import fair_share
from ropewalk.corpus.reading.records import Limits
from ropewalk.corpus.reading.survey import KindOfFile, SurveyLimits, bytes_per_token, survey
from ropewalk.recipes.recipe import SourceRecipe

CHAT = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


def a_source(folder: Path, **fields: object) -> SourceRecipe:
    return SourceRecipe.model_validate({"path": str(folder), "licence": "MIT", **fields})


def test_small_data_is_counted_exactly(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b'{"text": "four"}\nnot json\n' + CHAT))
    found = survey([a_source(tmp_path)])
    assert (found.num_files, found.num_documents, found.num_conversations) == (3, 3, 1)
    assert not found.is_estimate
    assert found.num_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert [(kind.kind, kind.suffix, kind.num_files) for kind in found.kinds] == [
        ("records", ".jsonl.gz", 1),
        ("text", ".txt", 2),
    ]
    assert [(aside.reason, aside.num_records) for aside in found.set_aside] == [("malformed_json", 1), ("not_utf8", 1)]
    assert found.set_aside[0].examples[0].startswith("c.jsonl.gz#2: ")


def test_one_source_listed_twice_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    assert survey([a_source(tmp_path), a_source(tmp_path)]).num_documents == 1


def test_large_data_is_estimated_within_the_limit_of_bytes(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text("x" * 100_000 + "\n")
    found = survey([a_source(tmp_path)], SurveyLimits(seconds=60, num_bytes=1_000_000))
    assert found.is_estimate
    assert found.share_read < 0.4
    assert found.num_files == 40
    assert found.num_documents == pytest.approx(40, abs=1)


def test_one_large_file_is_read_in_part(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "0123456789"}\n' * 400_000)
    found = survey([a_source(tmp_path / "a.jsonl")], SurveyLimits(seconds=60, num_bytes=1_000_000))
    assert found.num_documents == pytest.approx(400_000, rel=0.1)
    assert found.text_bytes == pytest.approx(4_000_000, rel=0.1)


def test_time_is_a_limit_whatever_the_data(tmp_path: Path) -> None:
    (tmp_path / "one_line.jsonl").write_bytes(b"x" * 50_000_000)
    began = time.monotonic()
    found = survey([a_source(tmp_path)], SurveyLimits(seconds=0.0))
    assert time.monotonic() - began < 1.0
    assert found.is_estimate


def test_listing_stops_at_its_limit_and_says_so(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").touch()
    found = survey([a_source(tmp_path)], SurveyLimits(num_files=10))
    assert (found.num_files, found.is_all_listed, found.is_estimate) == (10, False, True)


def test_many_suffixes_become_one_group(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"a.s{number}").write_text("text")
    found = survey([a_source(tmp_path)])
    assert len(found.kinds) == 41
    assert KindOfFile(kind="text", suffix="…", num_files=20, num_bytes=80) in found.kinds


def test_an_empty_folder_holds_nothing_for_sure(tmp_path: Path) -> None:
    found = survey([a_source(tmp_path)])
    assert (found.num_files, found.num_documents, found.is_estimate, found.num_tokens(2048)) == (0, 0, False, 0)


def test_a_larger_vocabulary_carries_more_text_per_token() -> None:
    assert 1.5 < bytes_per_token(512) < bytes_per_token(2048) < bytes_per_token(32_768) < 5


def test_a_folder_of_one_text_counts_as_the_documents_it_is_cut_into(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(f"Paragraph {number}.\n\n" for number in range(3000)))
    assert survey([a_source(tmp_path)]).num_documents == survey([a_source(tmp_path / "book.txt")]).num_documents > 4


def test_what_small_files_leave_over_is_for_the_large_ones() -> None:
    assert fair_share([10, 10, 1000], 120) == 100
    assert fair_share([10, 10, 80], 120) == 120
    assert fair_share([100] * 10, 500) == 50
    assert fair_share([], 7) == 7


def test_one_line_of_many_megabytes_among_texts_does_not_blow_up_the_estimate(tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_bytes(b'{"text": "' + b"x" * 40_000_000 + b'"}\n{"text": "after"}\n')
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    (tmp_path / "table.csv").write_text("a,b\n")
    for number in range(50):
        (tmp_path / f"{number}.txt").write_text("words and words\n" * 100)
    whole, part = survey([a_source(tmp_path)]), survey([a_source(tmp_path)], SurveyLimits(num_bytes=3_000_000))
    assert (whole.num_documents, part.num_documents) == (51, 50)
    assert (whole.is_estimate, part.is_estimate) == (False, True)
    assert {aside.reason: aside.num_records for aside in part.set_aside} == {"link_outside": 1, "unsupported_csv": 1}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_text_that_is_read_in_part_is_still_one_document(tmp_path: Path, suffix: str) -> None:
    raw = "".join(f"line {number} of a text\n" for number in range(200_000)).encode()
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.txt{suffix}").write_bytes(gzip.compress(raw) if suffix else raw)
    found = survey([a_source(tmp_path)], SurveyLimits(seconds=60, num_bytes=6_000_000))
    assert found.is_estimate
    assert found.num_documents == 4
    assert found.text_bytes == pytest.approx(4 * len(raw), rel=0.15)


def test_a_text_that_is_cut_counts_as_its_parts_and_is_flawed_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"many words\n" * 200_000)
    (tmp_path / "flawed.txt").write_bytes(b"many words\n" * 500 + b"\0")
    part, whole = (
        survey([a_source(tmp_path)], SurveyLimits(seconds=60, num_bytes=num_bytes), Limits(record_bytes=1000))
        for num_bytes in (200_000, 64_000_000)
    )
    assert part.num_documents == pytest.approx(2200, rel=0.02)
    assert 2200 < whole.num_documents < 2300  # cut behind lines
    assert [(aside.reason, aside.num_records) for aside in whole.set_aside] == [("binary", 1)]
