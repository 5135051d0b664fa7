"""A record is a document or has a named flaw."""

from typing import Any

import pytest

from ropewalk.corpus.reading.readers.jsonl import load
from ropewalk.corpus.reading.records import Content, Flaw, content_of, parse_text, split_text
from ropewalk.corpus.reading.selection import enters_folder, holds_records, takes_file
from ropewalk.recipes.recipe import SourceRecipe


def a_source(**fields: Any) -> SourceRecipe:
    return SourceRecipe(path="/data", licence="MIT", **fields)


def parse_line(raw: bytes, **fields: Any) -> Content | Flaw:
    found = load(raw)
    return found if isinstance(found, Flaw) else content_of(found, a_source(**fields))


def test_text_is_identified_by_its_raw_bytes_and_loses_its_byte_order_mark() -> None:
    plain, marked = parse_text("grüße\n".encode()), parse_text("\ufeffgrüße\n".encode())
    assert isinstance(plain, Content)
    assert isinstance(marked, Content)
    assert plain.text == marked.text == "grüße\n"
    assert plain.doc_id != marked.doc_id
    assert plain.num_bytes == 8


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"\x7fELF\0\0", "binary"), (b"caf\xe9", "not_utf8"), (b"", "empty"), (b" \n\t\n", "empty")],
)
def test_what_is_not_text_has_a_reason(raw: bytes, reason: str) -> None:
    flaw = parse_text(raw)
    assert isinstance(flaw, Flaw)
    assert flaw.reason == reason
    assert flaw.num_bytes == len(raw)


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        (b'{"text": "x"', "malformed_json", "unexpected end"),
        (b'["text"]', "malformed_json", "not a JSON object but list"),
        (b'{"body": "x"}', "missing_field", "'text'; the record has: body"),
        (b'{"text": 3}', "missing_field", "'text'"),
        (b'{"text": "  "}', "empty", "white space"),
        (b'{"text": "a\\u0000b"}', "binary", "NUL"),
        (b'{"messages": "hi"}', "missing_field", "'messages'"),
        (b'{"messages": [{"role": "robot", "content": "hi"}]}', "bad_messages", "turn 0"),
        (b'{"messages": [{"role": "user", "content": "hi"}]}', "bad_messages", "no turn of the assistant"),
    ],
)
def test_a_flawed_line_says_what_is_wrong_with_it(raw: bytes, reason: str, detail: str) -> None:
    flaw = parse_line(raw, text_field="text")
    assert isinstance(flaw, Flaw)
    assert flaw.reason == reason
    assert detail in flaw.detail


def test_a_line_is_a_text_or_a_conversation() -> None:
    text = parse_line(b'{"body": "hello"}', text_field="body")
    turns = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    chat = parse_line(turns, text_field="body")
    assert isinstance(text, Content)
    assert text.text == "hello"
    assert isinstance(chat, Content)
    assert [turn.role for turn in chat.messages] == ["user", "assistant"]
    assert isinstance(parse_line(turns, text_field="body", format="jsonl"), Flaw)


def test_the_same_conversation_has_one_identity_however_its_json_is_written() -> None:
    one = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    two = b'{"id": 7, "messages":[{"content":"a","role":"user"},{"content":"b","role":"assistant"}]}'
    assert parse_line(one, text_field="text", format="chat") == parse_line(two, text_field="text", format="chat")


def test_patterns_span_folders_only_with_two_stars() -> None:
    selection = SourceRecipe(path="/", licence="MIT", include=("**/*.py",), exclude=("**/test/**", "skip.py"))
    assert takes_file(selection, "a.py")
    assert takes_file(selection, "x/y/a.py")
    assert not takes_file(selection, "x/test/a.py")
    assert not takes_file(selection, "test/a.py")
    assert takes_file(selection, "contest/a.py")
    assert not takes_file(selection, "skip.py")
    assert not takes_file(selection, "a.pyc")
    assert not enters_folder(selection, "x/test")
    assert enters_folder(selection, "x")
    assert not takes_file(SourceRecipe(path="/", licence="MIT", include=("*.py",)), "x/a.py")


def test_hidden_files_and_folders_do_not_belong() -> None:
    selection = SourceRecipe(path="/", licence="MIT", include=("**/*",), exclude=())
    assert not enters_folder(selection, ".git")
    assert not takes_file(selection, "x/.env")


@pytest.mark.parametrize(
    ("form", "path", "records"),
    [("auto", "a.jsonl.gz", True), ("auto", "a.py", False), ("text", "a.jsonl", False), ("chat", "a.txt", True)],
)
def test_the_format_of_the_source_wins_over_the_file_name(form: str, path: str, records: bool) -> None:
    source = SourceRecipe.model_validate({"path": "/x", "licence": "MIT", "format": form})
    assert holds_records(path, source) is records


def test_a_text_is_cut_after_blank_lines_and_nothing_is_lost() -> None:
    text = "".join(f"verse {number}\nsecond line\n\n" for number in range(60)) + "x" * 300 + "\n\n\n"
    whole = parse_text(text.encode())
    assert isinstance(whole, Content)
    parts = split_text(whole, part_bytes=100)
    assert "".join(part.text for part in parts) == text
    assert all(part.text.strip() for part in parts)
    assert all(part.text.endswith("\n\n") for part in parts)
    assert len({part.doc_id for part in parts}) == len(parts) > 10
    assert sum(part.num_bytes for part in parts) == whole.num_bytes


def test_a_text_without_blank_lines_is_cut_between_once_and_twice_the_size() -> None:
    whole = parse_text(b"0123456789\n" * 100)
    assert isinstance(whole, Content)
    assert [part.num_bytes for part in split_text(whole, part_bytes=100)] == [209, 209, 209, 209, 209, 55]
    other = parse_text(b"".join(b"line %d\n" % number for number in range(500)))
    assert isinstance(other, Content)
    assert all(100 <= part.num_bytes <= 210 for part in split_text(other, part_bytes=100)[:-1])


@pytest.mark.parametrize("between", ["\n", "\n\n"])
@pytest.mark.parametrize("added", ["a new first line", "one\n\ntwo\n\nthree", "x" * 5000])
def test_text_put_in_front_moves_only_the_first_parts(between: str, added: str) -> None:
    text = "".join(f"verse {number} of a long book{between}" for number in range(6000))
    before, after = (parse_text(each.encode()) for each in (text, f"{added}{between}{text}"))
    assert isinstance(before, Content)
    assert isinstance(after, Content)
    old = [part.doc_id for part in split_text(before, part_bytes=500)]
    kept = set(old) & {part.doc_id for part in split_text(after, part_bytes=500)}
    assert len(old) - len(kept) <= 15 < len(old) / 10


def test_records_that_agree_in_the_key_field_share_a_split_key() -> None:
    lines = [b'{"text": "a", "book": 7}', b'{"text": "b", "book": 7}', b'{"text": "a", "book": "7"}']
    first, second, third = (parse_line(line, text_field="text", key_field="book") for line in lines)
    assert isinstance(first, Content)
    assert isinstance(second, Content)
    assert isinstance(third, Content)
    assert first.split_key == second.split_key != third.split_key
    alone = parse_line(lines[0], text_field="text")
    assert isinstance(alone, Content)
    assert alone.split_key == ""


@pytest.mark.parametrize("raw", [b'{"text": "a"}', b'{"text": "a", "book": null}', b'{"text": "a", "book": [1]}'])
def test_a_record_without_a_value_in_the_key_field_is_set_aside(raw: bytes) -> None:
    flaw = parse_line(raw, text_field="text", key_field="book")
    assert isinstance(flaw, Flaw)
    assert (flaw.reason, "key_field 'book'" in flaw.detail) == ("missing_field", True)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"text": "good", "score": NaN}',
        b'{"text": "good", "score": [Infinity, -Infinity]}',
        b'{"text": "good", "title": "\\ud83d"}',
        b'{"text": "good", "n": 123456789012345678901234567890}',
        b'{"text": "good", "text2": "\\udc00\\ud800"}',
    ],
)
def test_what_other_tools_write_into_other_fields_costs_no_record(raw: bytes) -> None:
    content = parse_line(raw, text_field="text")
    assert isinstance(content, Content)
    assert content.text == "good"


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        (b'{"text": "half \\ud83d of it"}', "not_utf8", "half of a surrogate pair (\\ud83d)"),
        (
            b'{"messages": [{"role": "user", "content": "\\udc00"}, {"role": "assistant", "content": "b"}]}',
            "not_utf8",
            "half of a surrogate pair",
        ),
        (b'{"text": "caf\xe9"}', "not_utf8", "offset 13 of the line"),
        (b'{"text": "x", "deep": ' + b"[" * 100_000, "malformed_json", ""),
        (b'{"text": "x", "n": ' + b"9" * 5000 + b", }", "malformed_json", ""),
        (b'{"a\\u001b[31m": 1, "' + b"k" * 9000 + b'": 2}', "missing_field", "a\\x1b[31m"),
        (b"NaN", "malformed_json", "not a JSON object but float"),
    ],
)
def test_a_record_that_no_document_can_hold_has_a_true_and_short_reason(raw: bytes, reason: str, detail: str) -> None:
    flaw = parse_line(raw, text_field="text")
    assert isinstance(flaw, Flaw)
    assert flaw.reason == reason
    assert detail in flaw.detail
    assert flaw.detail.isprintable()
    assert len(flaw.detail) < 500


def test_a_record_of_millions_of_values_is_not_built() -> None:
    flaw = parse_line(b'{"text": "x", "n": [' + b"[]," * 1_000_001 + b"1]}", text_field="text")
    assert isinstance(flaw, Flaw)
    assert flaw.reason == "oversized"
