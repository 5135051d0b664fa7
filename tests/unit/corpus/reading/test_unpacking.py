"""An archive is read to its true end: members one after the other, cut short, damaged, or with something behind it."""

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ropewalk.corpus.reading import unpacking
from ropewalk.corpus.reading.records import Limits

Read = Callable[..., Any]
RECORDS = b"".join(b'{"text": "record %d, one of many on its own"}\n' % number for number in range(5000))
PACK = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor(level=3).compress}
BOTH = pytest.mark.parametrize("suffix", [".gz", ".zst"])


@BOTH
def test_a_text_cut_short_is_set_aside_and_never_taken_as_whole(source: Path, suffix: str, read: Read) -> None:
    packed = PACK[suffix](RECORDS)
    for share in (3, len(packed) // 2, len(packed) - 1):
        (source / f"a.txt{suffix}").write_bytes(packed[:share])
        (source / "b.txt").write_text("good")
        found = read(source)
        assert found.texts == {"b.txt": "good"}
        ((_, flaw),) = found.flaws
        assert flaw.reason == "corrupt_archive"
        assert "cut short" in flaw.detail


@BOTH
def test_of_records_cut_short_the_whole_ones_before_the_cut_are_kept(source: Path, suffix: str, read: Read) -> None:
    packed = PACK[suffix](RECORDS)
    (source / f"a.jsonl{suffix}").write_bytes(packed[: len(packed) * 9 // 10])
    found = read(source)
    assert 0 < len(found.contents) < 5000 or suffix == ".zst"
    assert all(text.endswith("own") for text in found.texts.values())
    ((place, flaw),) = found.flaws
    assert place == f"a.jsonl{suffix}#{len(found.contents) + 1}"
    assert "cut short" in flaw.detail


@BOTH
def test_members_one_after_the_other_are_one_text(source: Path, suffix: str, read: Read) -> None:
    pack = PACK[suffix]
    (source / f"a.txt{suffix}").write_bytes(pack(b"one\n") + pack(b"") + pack(b"two\n" * 9999) + pack(b"three\n"))
    (source / f"b.jsonl{suffix}").write_bytes(pack(b'{"text": "o') + pack(b'ne"}\n'))
    found = read(source)
    assert found.texts[f"a.txt{suffix}"] == "one\n" + "two\n" * 9999 + "three\n"
    assert found.texts[f"b.jsonl{suffix}#1"] == "one"
    assert found.flaws == []


@BOTH
def test_a_second_member_cut_short_is_noticed(source: Path, suffix: str, read: Read) -> None:
    for kept in (1, 3, 8, 12):
        (source / f"a.txt{suffix}").write_bytes(PACK[suffix](b"one\n") + PACK[suffix](b"two\n" * 99)[:kept])
        assert read(source).reasons == {f"a.txt{suffix}": "corrupt_archive"}


@BOTH
def test_bytes_behind_a_whole_archive_do_not_cost_its_content(source: Path, suffix: str, read: Read) -> None:
    (source / f"a.txt{suffix}").write_bytes(PACK[suffix](b"good\n") + b"some trailing bytes")
    (source / f"b.jsonl{suffix}").write_bytes(PACK[suffix](b'{"text": "one"}\n{"text": "two"}') + b"x" * 5000)
    (source / f"c.txt{suffix}").write_bytes(PACK[suffix](b"padded\n") + bytes(5000))
    found = read(source)
    assert list(found.texts.values()) == ["good\n", "one", "two", "padded\n"]
    assert set(found.reasons.values()) == {"trailing_bytes"}
    assert len(found.flaws) == 2


@BOTH
def test_a_damaged_or_false_archive_has_a_true_reason(source: Path, suffix: str, read: Read) -> None:
    packed = bytearray(PACK[suffix](RECORDS))
    packed[len(packed) // 2] ^= 0xFF
    packed[-6] ^= 0xFF
    (source / f"damaged.txt{suffix}").write_bytes(packed)
    (source / f"false.txt{suffix}").write_bytes(b"plain text under a false name")
    found = read(source)
    assert set(found.reasons.values()) == {"corrupt_archive"}
    details = {path: flaw.detail for path, flaw in found.flaws}
    assert "whatever its name says" in details[f"false.txt{suffix}"]


def test_an_empty_archive_is_empty(source: Path, read: Read) -> None:
    for name, raw in {"a.txt.gz": gzip.compress(b""), "b.txt.zst": zstandard.compress(b""), "c.txt.gz": b""}.items():
        (source / name).write_bytes(raw)
    assert set(read(source).reasons.values()) == {"empty"}


def test_skippable_frames_of_zstandard_hold_no_text(source: Path, read: Read) -> None:
    skippable = struct.pack("<II", 0x184D2A53, 5) + b"notes"
    (source / "a.txt.zst").write_bytes(skippable + zstandard.compress(b"good\n") + skippable)
    (source / "b.txt").write_text("good")
    assert read(source).texts["a.txt.zst"] == "good\n"


def test_a_window_that_needs_gigabytes_is_refused(source: Path, read: Read) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28)
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(packed, closefd=False) as writer:
        writer.write(b"text\n" * 100)
    (source / "a.txt.zst").write_bytes(packed.getvalue())
    assert read(source).reasons == {"a.txt.zst": "corrupt_archive"}


@BOTH
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_bomb_stops_at_its_limit(
    source: Path, name: str, suffix: str, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_FREE_BYTES", 1_000_000)
    (source / f"{name}{suffix}").write_bytes(PACK[suffix](bytes(50_000_000)))
    found = read(source)
    assert found.contents == {}
    assert "decompression_bomb" in found.reasons.values() or "binary" in found.reasons.values()


@BOTH
def test_a_bomb_of_text_is_set_aside_as_a_whole(
    source: Path, suffix: str, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_FREE_BYTES", 1_000_000)
    (source / f"a.txt{suffix}").write_bytes(PACK[suffix](b"text\n" * 10_000_000))
    found = read(source, limits=Limits(record_bytes=100_000))
    assert (found.contents, set(found.reasons.values())) == ({}, {"decompression_bomb"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le"])
def test_a_text_with_the_mark_of_its_encoding_is_read(source: Path, encoding: str, read: Read) -> None:
    text = "Ein Text, zweite Zeile:\nเรือ 船 🚢\n"
    raw = (text if encoding in ("utf-16", "utf-32") else "\ufeff" + text).encode(encoding)
    (source / "a.txt").write_bytes(raw)
    (source / "b.txt.gz").write_bytes(gzip.compress(raw))
    found = read(source)
    assert (found.texts["a.txt"], found.texts["b.txt.gz"]) == (text, text)


def test_json_lines_in_utf16_are_lines(source: Path, read: Read) -> None:
    lines = '{"text": "one ਊ"}\r\n{"text": "two"}\r\n'  # U+0A0A holds the byte of a line feed
    (source / "a.jsonl").write_bytes(lines.encode("utf-16"))
    assert list(read(source).texts.values()) == ["one ਊ", "two"]


@pytest.mark.parametrize(("raw", "detail"), [(b"\xff\xfeA\0B", "UTF-16"), (b"\xff\xfe\0\xd8A\0", "UTF-16")])
def test_a_broken_utf16_has_a_true_reason(source: Path, raw: bytes, detail: str, read: Read) -> None:
    (source / "a.txt").write_bytes(raw)
    ((_, flaw),) = read(source).flaws
    assert (flaw.reason, detail in flaw.detail) == ("not_utf8", True)


def test_utf16_without_a_mark_is_named_and_not_guessed(source: Path, read: Read) -> None:
    (source / "a.txt").write_bytes("some plain words".encode("utf-16-le"))
    ((_, flaw),) = read(source).flaws
    assert (flaw.reason, "save it as UTF-8" in flaw.detail) == ("not_utf8", True)
