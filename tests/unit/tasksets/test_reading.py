"""A task set that somebody wrote is read whole or refused with a sentence for each fault."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from parts.task_set_files import questions, write_task_set

from ropewalk.events.task_set import TaskSetRegistered
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import Manifest
from ropewalk.tasksets.definition import CODE_ENDS, TaskSetFile
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.items import MAX_BYTES, MAX_ITEMS, in_split, split_of
from ropewalk.tasksets.judges.rubric import RUBRICS
from ropewalk.tasksets.shelf import SUITE, fetch_task_set, key_of, read_task_set, store_task_set, stored_task_set


def the_faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(TaskSetError) as caught:
        read_task_set(path)
    return caught.value.faults


def test_a_sound_file_says_what_it_is(tmp_path: Path) -> None:
    found = read_task_set(write_task_set(tmp_path))
    said = TaskSetRegistered(**found.facts())
    assert (said.task_set_id, said.version, said.kind, said.metrics) == ("counting", 1, "mc", ("acc", "acc_norm"))
    assert (said.num_items, said.num_clusters, said.splits["dev"]) == (60, 30, 60)
    assert found.items[3].told("Q: {question}") == "Q: What comes after 3?"
    assert found.items[3].right == ("4",)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"version": 0}, r"task-set.yaml line \d+: field 'version' has the value 0: .*greater than or equal to 1"),
        ({"type": "judge"}, "criteria is empty: name at least one of the rubric, such as correctness"),
        ({"type": "pairwise", "criteria": ["correctness"] * 2}, "criteria has 'correctness' twice: leave one out"),
        ({"type": "pairwise", "criteria": ["correctness"], "judges": ["A b"]}, "judges has 'A b', which is no id of a"),
        ({"type": "pairwise", "criteria": ["", ""]}, "criteria has '' twice: leave one out"),
        ({"type": "pairwise", "criteria": ["correctness"], "judges": [""]}, "judges has '', which is no id of a judge"),
        ({"until": ["\ud800"]}, "task-set.yaml: field 'until' has half of a character"),
        ({"templates": ["{question}\udfff"]}, "task-set.yaml: field 'templates' has half of a character"),
        ({"type": "schema", "json_schema": {"\ud800": 1}}, "task-set.yaml: field 'json_schema' has half of a char"),
        ({"json_schema": {"enum": [{"a": "\ud800"}]}}, "task-set.yaml: field 'json_schema' has half of a character"),
        ({"a\ud800": 1}, "task-set.yaml: field 'a.*ud800' has half of a character"),
        ({"type": "judge", "criteria": ["correctness"], "judges": list("abcde")}, "field 'judges' has the value"),
        ({"type": "judge", "criteria": ["correctness"], "raters_each": 5}, "field 'raters_each' has the value 5"),
        (
            {"type": "judge", "criteria": ["correctness"], "metrics": ["acc"]},
            "metric 'acc' is none of type judge",
        ),
        ({"type": "judge", "criteria": ["correctness"], "templates": ["{question}", "Q: {question}"]}, "has one templ"),
        ({"raters_each": 2}, "raters_each is for the types judge and pairwise, and this is mc"),
        ({"licence": None}, "task-set.yaml line 1: field 'licence' is missing: say under which licence"),
        ({"metrics": ["bleu"]}, "metric 'bleu' is none of type mc: it has acc, acc_norm"),
        ({"gate": {"acc": {"role": "primary"}, "acc_norm": {"role": "primary"}}}, "two primary metrics"),
        ({"metrics": ["acc"], "gate": {"acc_norm": {"role": "guardrail"}}}, "acc_norm, which is not among metrics"),
        ({"splits": {"dev": 0.5, "gate": 0.6}}, r"line \d+: splits: dev, calibration and gate are 1.35 together"),
        ({"templates": ["no field"]}, r"template 'no field' needs a \{field\} of an item"),
        ({"json_schema": {"type": "object"}}, "json_schema belongs to 'schema'"),
        ({"nonsense": 1}, r"line \d+: unknown field 'nonsense' \(value 1\)"),
        ({"id": "Not a Name"}, r"line \d+: field 'id' has the value 'Not a Name'"),
        ({"data": {"file": "items.jsonl", "sha256": "0" * 64}}, "data.sha256 is 000.* and items.jsonl has .*version"),
        ({"data": {"file": "none.jsonl", "sha256": "0" * 64}}, "data.file none.jsonl cannot be read: No such file"),
        ({"splits": {"dev": 0.0, "calibration": 0.0, "gate": 1.0}}, "0 items in the split dev, of 60 in all"),
    ],
)
def test_a_fault_of_the_definition_is_one_sentence_with_its_line(
    tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    (fault,) = the_faults(write_task_set(tmp_path, **fields))
    assert re.search(sentence, fault), fault


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ("{not json", "line 7: it is no JSON"),
        ("[1]", "line 7: it is no object"),
        ("[" * 100_000, "line 7: values are nested more than 16 deep"),
        ('{"a": NaN}', "line 7: it is no JSON (NaN is no JSON)"),
        ({"question": "q", "choices": ["a"], "answer": 0, "group": "x"}, "field 'choices' has the value ['a']"),
        ({"question": "q", "choices": ["a", "a"], "answer": 0, "group": "x"}, "'choices' has a choice twice"),
        ({"question": "q", "choices": ["a", "b"], "answer": 2, "group": "x"}, "field 'answer' has the value 2"),
        ({"question": "q", "choices": ["a", "b"], "answer": True, "group": "x"}, "field 'answer' has the value True"),
        ({"question": "q", "choices": ["a", "b"], "answer": 0}, "field 'group' (cluster_key) has the value None"),
        ({"question": 7, "choices": ["a", "b"], "answer": 0, "group": "x"}, "field 'question' has the value 7"),
        ({"question": "q" * 65_537, "choices": ["a", "b"], "answer": 0, "group": "x"}, "more than 65,536 characters"),
        ('{"question": "\\ud800", "choices": ["a", "b"], "answer": 0, "group": "x"}', "half of a character"),
        ({"": "q" * 65_537}, "field '' has more than 65,536 characters"),
        (questions()[0], "line 7: it repeats line 1"),
    ],
)
def test_a_fault_of_an_item_names_its_line(tmp_path: Path, item: Any, sentence: str) -> None:
    (fault,) = the_faults(write_task_set(tmp_path, [*questions()[:6], item, *questions()[6:]]))
    assert sentence in fault
    assert len(fault) < 900


JUDGED = {"type": "judge", "criteria": ["correctness"]}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"answer": "a"}, "line 7: field 'answer' is not for the type judge: a right answer is its `reference`"),
        ({"reference": 7}, "line 7: field 'reference' has the value 7: it is a text"),
        ({"note": "n" * 8_193}, "line 7: note has 8,193 characters: people and judges read 8,192 at most"),
        ({"question": "q" * 8_193}, "line 7: what is asked has 8,193 characters"),
    ],
)
def test_a_fault_of_an_item_that_people_judge_names_its_line(
    tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    items = [{"question": f"What is {n}?", "group": f"g{n}"} for n in range(30)]
    (fault,) = the_faults(write_task_set(tmp_path, [*items[:6], items[6] | fields, *items[7:]], **JUDGED))
    assert sentence in fault


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"criteria": ["beauty"]}, "criteria has 'beauty': default@1 has correctness, comprehensiveness"),
        ({"criteria": [""]}, "criteria has '': default@1 has correctness"),
        ({"rubric": "mine.yaml"}, "rubric mine.yaml cannot be read: No such file"),
    ],
)
def test_a_criterion_must_be_in_the_rubric_that_is_there(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    items = [{"question": f"What is {n}?", "group": f"g{n}"} for n in range(30)]
    (fault,) = the_faults(write_task_set(tmp_path, items, **JUDGED | fields))
    assert sentence in fault


def test_a_rubric_is_part_of_what_is_judged_and_of_its_hash(tmp_path: Path) -> None:
    items = [{"question": f"What is {n}?", "reference": str(n), "group": f"g{n}"} for n in range(30)]
    shipped = read_task_set(write_task_set(tmp_path, items, **JUDGED))
    assert shipped.items[0].right == ("0",), "it is kept out of training, too"
    mine = yaml.safe_load((RUBRICS / "default.yaml").read_text()) | {"version": 2}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    other = read_task_set(write_task_set(tmp_path, items, **JUDGED, rubric="mine.yaml"))
    again = replace(other, definition=shipped.definition)
    assert len({shipped.content, other.content, again.content}) == 3
    objects = LocalObjects(tmp_path / "store")
    stored = fetch_task_set(objects, store_task_set(objects, other, tmp_path / "scratch").partition("/")[2])
    assert stored == other


def test_what_was_frozen_before_there_were_judged_task_sets_keeps_its_hash() -> None:
    assert (
        read_task_set(SUITE / "copying.yaml").content
        == "1578cbbc01771da0dfd0231964468c45a71913aa07205d8197bbc6e91d3ca009"
    )


def test_every_fault_is_said_up_to_a_bound(tmp_path: Path) -> None:
    faults = the_faults(write_task_set(tmp_path, ["nonsense"] * 50))
    assert len(faults) == 21
    assert faults[-1] == "and 30 more of this kind"


def test_more_items_than_a_task_set_may_have_are_refused(tmp_path: Path) -> None:
    (fault,) = the_faults(write_task_set(tmp_path, questions(MAX_ITEMS + 1)))
    assert f"more than {MAX_ITEMS:,} items" in fault


def test_a_template_is_filled_once_and_never_read_from_an_item(tmp_path: Path) -> None:
    items = [row | {"question": "{choices} {group}"[:10] + row["group"] + str(n)} for n, row in enumerate(questions())]
    first = read_task_set(write_task_set(tmp_path, items)).items[0]
    assert first.told("{question}|{question}") == "{choices} g00|{choices} g00"


def test_a_cluster_is_in_one_split_whatever_else_there_is_and_whatever_the_version(tmp_path: Path) -> None:
    shares = {"dev": 0.3, "calibration": 0.2, "gate": 0.5}
    small = read_task_set(write_task_set(tmp_path / "a", questions(200), splits=shares))
    large = read_task_set(write_task_set(tmp_path / "b", questions(400), splits=shares, version=2))
    places = [{each.cluster: split_of("counting", each.cluster, found.definition) for each in found.items}
              for found in (small, large)]  # fmt: skip
    assert places[0].items() <= places[1].items()
    counts = [len(in_split(large.items, large.definition, split)) for split in ("dev", "calibration", "gate")]
    assert sum(counts) == 400
    assert 60 <= counts[0] <= 180
    assert 140 <= counts[2] <= 260


@pytest.mark.parametrize("file", ["../items.jsonl", "/etc/passwd", "./items.jsonl", "in/items.jsonl", "..", "."])
def test_items_are_read_from_beside_the_definition_and_from_nowhere_else(tmp_path: Path, file: str) -> None:
    (tmp_path / "items.jsonl").write_text("{}")
    (fault,) = the_faults(write_task_set(tmp_path / "made", data={"file": file, "sha256": "0" * 64}))
    assert fault.startswith(f"data.file {file} is no plain name: put the file beside the YAML")


def test_a_pipe_a_folder_or_a_link_in_place_of_items_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = write_task_set(tmp_path)
    (tmp_path / "items.jsonl").unlink()
    os.mkfifo(tmp_path / "items.jsonl")
    said = "data.file items.jsonl is no regular file: put the file itself beside the YAML, no link, pipe or folder"
    assert the_faults(path) == (said,)
    (tmp_path / "items.jsonl").unlink()
    (tmp_path / "items.jsonl").mkdir()
    assert the_faults(path) == (said,)
    (tmp_path / "items.jsonl").rmdir()
    (tmp_path / "elsewhere.jsonl").write_text("{}")
    (tmp_path / "items.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    assert the_faults(path) == (said,)


def test_what_is_too_large_in_the_store_is_refused_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with (tmp_path / "made" / "task_set.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(TaskSetError, match=r"task_set\.json is larger than 32 MB"):
        stored_task_set(tmp_path / "made")

    class Store:
        def manifest(self, key: str) -> Manifest:
            return Manifest(sha256="0", files={"items.jsonl": ("0", 2 * MAX_BYTES + 1)}, meta={})

    with pytest.raises(TaskSetError, match=r"has 67,108,865 bytes"):
        fetch_task_set(Store(), "f" * 64)  # has no fetch


def test_what_decides_is_measured_on_the_sealed_split_and_what_is_shown_on_the_other(tmp_path: Path) -> None:
    shares = {"dev": 0.5, "calibration": 0.0, "gate": 0.5}
    shown = read_task_set(write_task_set(tmp_path / "a", questions(200), splits=shares))
    decides = read_task_set(
        write_task_set(
            tmp_path / "b", questions(200), splits=shares, gate={"acc": {"role": "guardrail", "margin": 0.02}}
        )
    )
    assert {each.item_id for each in shown.used()}.isdisjoint(each.item_id for each in decides.used())
    assert len(shown.used()) + len(decides.used()) == 200


def test_the_store_gives_back_what_was_put_there_and_refuses_what_was_not_checked(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "store")
    found = read_task_set(write_task_set(tmp_path / "made"))
    for name in ("one", "two"):
        assert store_task_set(objects, found, tmp_path / name) == key_of(found.content)
    again = stored_task_set(objects.fetch(key_of(found.content)))
    assert (again.content, again.items) == (found.content, found.items)
    other = tmp_path / "other"
    other.mkdir()
    (other / "task_set.json").write_bytes(found.definition_bytes)
    (other / "items.jsonl").write_text(json.dumps({"question": "?"}))
    with pytest.raises(TaskSetError, match=r"items\.jsonl line 1"):
        stored_task_set(other)
    with pytest.raises(TaskSetError, match="holds no task set"):
        stored_task_set(tmp_path)


@pytest.mark.parametrize(
    ("kind", "item", "fields", "right"),
    [
        ("generate", {"question": "a {n}", "answer": "b"}, {}, ("b",)),
        ("generate", {"question": "a {n}", "answer": ["b", "B"]}, {}, ("b", "B")),
        ("rolling", {"text": "words {n}"}, {}, ()),
        ("code", {"question": "def f{n}():", "tests": "assert f{n}()"}, {}, ("assert f0()",)),
        ("schema", {"question": "a {n}", "answer": {"x": 1}}, {"json_schema": {"type": "object"}}, ('{"x": 1}',)),
    ],
)
def test_each_type_has_its_own_items(
    tmp_path: Path, kind: str, item: dict[str, Any], fields: dict[str, Any], right: tuple[str, ...]
) -> None:
    rows = [{k: v.replace("{n}", str(n)) if isinstance(v, str) else v for k, v in item.items()} | {"group": f"g{n}"}
            for n in range(20)]  # fmt: skip
    found = read_task_set(write_task_set(tmp_path, rows, type=kind, **fields))
    assert found.items[0].right == right


def test_an_answer_must_fit_the_schema(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}", "answer": {"x": n}, "group": "g"} for n in range(20)]
    schema = {"type": "object", "properties": {"x": {"maximum": 18}}}
    (fault,) = the_faults(write_task_set(tmp_path, rows, type="schema", json_schema=schema))
    assert "line 20: field 'answer' has the value {'x': 19}: it must fit json_schema" in fault


@pytest.mark.parametrize(("fields", "ends"), [
    ({}, CODE_ENDS), ({"ask": "chat"}, ()), ({"until": ["\n\n"]}, ("\n\n",)),
])  # fmt: skip
def test_a_program_has_many_lines_also_once_it_is_stored(tmp_path: Path, fields: dict[str, Any], ends: Any) -> None:
    rows = [{"question": f"def f{n}():", "tests": f"assert f{n}()", "group": f"g{n}"} for n in range(20)]
    found = read_task_set(write_task_set(tmp_path, rows, type="code", **fields))
    stored = TaskSetFile.model_validate_json(found.definition_bytes)
    assert found.definition.ends == stored.ends == ends
