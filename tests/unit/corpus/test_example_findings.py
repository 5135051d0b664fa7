"""What is wrong with a file of examples is named with its lines."""

import json
from pathlib import Path
from typing import Any

from ropewalk.corpus.example_findings import CheckedExamples, ExamplesToCheck, check_examples
from ropewalk.recipes.recipe import SourceRecipe

SCHEMA: Any = {"type": "object", "required": ["n"]}


def found_in(folder: Path, *records: dict[str, Any] | str) -> CheckedExamples:
    file = folder / "examples.jsonl"
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    file.write_text("".join(f"{line}\n" for line in lines))
    return checked(SourceRecipe(path=str(file), licence="MIT", format="examples"))


def checked(*sources: SourceRecipe) -> CheckedExamples:
    return check_examples(ExamplesToCheck(sources=sources, schema=SCHEMA), lambda _: None)


def places(found: CheckedExamples) -> dict[str, list[str]]:
    return {each.kind: each.places for each in found.findings if not each.kind.startswith("too few")}


def test_sound_examples_give_no_finding_and_their_lengths(tmp_path: Path) -> None:
    found = found_in(tmp_path, *({"input": "x" * n, "output": {"n": n}} for n in range(1, 101)))
    assert found.findings == ()
    assert (found.num_examples, found.num_answers, found.input_chars[2]) == (100, 100, 100)
    assert found.input_chars[0] in (50, 51)
    assert found.is_all


def test_repetitions_conflicts_and_answers_that_are_missing_or_do_not_fit_are_told_apart(tmp_path: Path) -> None:
    found = found_in(
        tmp_path,
        {"input": "a", "output": {"n": 1}},
        {"input": "a", "output": {"n": 1}},
        {"input": "a", "output": {"n": 2}},
        {"input": "b"},
        {"input": "c", "output": {"m": 1}},
        "{",
        '{"input": "d", "output": ' + 990 * "[" + 990 * "]" + "}",
    )
    by_kind = places(found)
    assert by_kind["the same example again"] == ["2 (as 1)"]
    assert by_kind["the same input with another answer"] == ["3 (as 1)"]
    assert by_kind["the answer does not fit the schema"] == ["5 (field 'n' is missing)"]
    assert by_kind["not read: bad messages"][0].startswith("4 (no answer in the field 'output'")
    assert by_kind["not read: malformed json"][0].startswith("6 (")
    assert "7 (the output is nested too deeply)" in by_kind["not read: bad messages"]
    assert found.num_examples == 4


def test_what_has_the_form_of_personal_data_is_named_and_numbers_are_not(tmp_path: Path) -> None:
    texts = [
        "write to ann.lee@example.co.uk",
        "ring +49 30 1234567 today",
        "pay DE89 3704 0044 0532 0130 00",
        "card 4111 1111 1111 1111",
        "order 4111111111111112, 10:30, v1.2.3, a@b, 000000000000000",
        "item DE89 3704 0044 0532 0130 01, AB12CD345678901234, 2026-11-27, 192.168.0.1, part 555-1234",
        "ring 0711 1234567",
        "ring (555) 123-4567",
        "a number 219-09-9999, pay GB82WEST12345698765432",
        "pay de89370400440532013000",
        "pay be68 5390 0754 7034 soon, or later",
        "ring 030/1234567",
        "order de89370400440532013001, key be68539007547034ab, zz68539007547034, $1,200.50, 2.0.1, 10/2026, 40-1234-99",
    ]
    found = found_in(tmp_path, *({"input": text, "output": {"n": 1}} for text in texts))
    assert places(found) == {
        "looks like personal data: e-mail address": ["1"],
        "looks like personal data: telephone number": ["2", "7", "8", "12"],
        "looks like personal data: bank account (IBAN)": ["3", "9", "10", "11"],
        "looks like personal data: card number": ["4"],
        "looks like personal data: social security number (US)": ["9"],
    }


def test_only_the_first_places_are_named_and_all_are_counted(tmp_path: Path) -> None:
    finding = found_in(tmp_path, *[{"input": "a", "output": {"n": 1}}] * 50).findings[0]
    assert (finding.num_records, len(finding.places)) == (49, 10)


def test_no_finding_repeats_what_stands_in_a_record_and_inputs_without_an_answer_are_searched_too(
    tmp_path: Path,
) -> None:
    mail = "ann.lee@example.co.uk"
    found = found_in(
        tmp_path,
        {"input": "a", "output": {mail: mail}},
        {"input": f"write to {mail}"},
        {"input": {"mail": mail}, "output": {"n": 1}},
        {"input": "b", "output": mail},
    )
    assert places(found)["looks like personal data: e-mail address"] == ["1", "4", "2"]
    assert mail not in repr(found)


def test_too_few_examples_are_a_finding_and_so_is_a_key_field_that_tells_nothing_apart(tmp_path: Path) -> None:
    few = [{"input": f"{n}", "output": {"n": n}, "team": "one"} for n in range(9)]
    assert [each.kind for each in found_in(tmp_path, *few).findings] == [
        "too few examples: 10 are the least, a hundred a beginning"
    ]
    more = [{"input": f"{n}", "output": {"n": n}, "team": "one"} for n in range(60)]
    (finding,) = found_in(tmp_path, *more).findings
    assert (finding.kind.partition(":")[0], finding.num_records) == ("too few examples to judge by", 60)
    file = str(tmp_path / "examples.jsonl")
    keyed = [SourceRecipe(path=file, licence="MIT", format="examples", key_field=name) for name in ("team", "taem")]
    assert "the key_field 'team' is the same in all, so none can be held out" in places(checked(keyed[0]))
    assert "no value in the key_field 'taem'" in places(checked(keyed[1]))["not read: missing field"][0]


def test_inputs_beside_the_examples_are_looked_at_too(tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.jsonl"
    lines = ({"input": "a"}, {"input": "write to ann@example.org"}, {"input": ""}, {"input": "b"}, {"input": "b"})
    inputs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found_in(tmp_path, {"input": "a", "output": {"n": 1}})
    sources = [
        SourceRecipe(path=str(tmp_path / f"{form}.jsonl"), licence="MIT", format=form)
        for form in ("examples", "inputs")
    ]
    assert places(checked(*sources)) == {
        "an input that is there already": ["inputs.jsonl#1 (as 1)", "inputs.jsonl#5 (as inputs.jsonl#4)"],
        "looks like personal data: e-mail address": ["inputs.jsonl#2"],
        "not read: bad messages": ["inputs.jsonl#3 (the input is empty)"],
    }
