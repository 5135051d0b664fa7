"""`eval report` and `eval compare` on a real bus: the decision, the judges and people's labels come from the log."""

import json
import re

import pytest
from parts.judge_files import a_card, a_recorded_judge
from parts.sealed_reports import a_row, a_section, seal

from ropewalk.events.judge import JudgeRegistered
from ropewalk.events.label import LabelGiven
from ropewalk.storage.local import LocalObjects
from ropewalk.tasksets.judges.shelf import store_judge


@pytest.fixture
def objects(tmp_path):
    return LocalObjects(tmp_path / "state" / "objects")


def publish_files(objects, key, scratch, **files):
    scratch.mkdir()
    for name, body in files.items():
        (scratch / name.replace("__", ".")).write_bytes(body)
    objects.publish(scratch, key, {})


def a_label(rater, place, grade):
    return LabelGiven(
        task_set_id="answers",
        version=1,
        sheet_id=f"s{place}",
        item_id=f"i{place}",
        criterion="correctness",
        scale="0-3",
        rater=rater,
        grade=grade,
        seconds=4.0,
        position=place + 1,
    )


def test_labels_and_judges_of_its_task_sets_stand_in_the_report(ropewalk, publish, objects, tmp_path):
    judge = a_recorded_judge(tmp_path / "judge", lambda _: 2.0)
    store_judge(objects, judge, tmp_path / "scratch")
    publish_files(objects, f"judge_answers/{judge.content}", tmp_path / "said", recorded__jsonl=judge.recorded)
    named = json.dumps({"judges": ["replay"]}).encode()
    publish_files(objects, "task_sets/c", tmp_path / "set", task_set__json=named)
    decided = seal(objects, tmp_path / "made", "r-1", task_sets=[a_section("answers@1")])
    labels = [a_label(rater, place, place % 4) for rater in ("anna", "ben") for place in range(6)]
    publish(decided, JudgeRegistered(judge_id="replay", content=judge.content, card=a_card("i")), *labels)

    result = ropewalk("eval", "report", "r-1", "--out", str(tmp_path / "of.html"), "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["png"] == str(tmp_path / "of.png")
    page = (tmp_path / "of.html").read_text()
    assert "2 raters, 6 answers that two or more of them graded: Krippendorff&#39;s alpha 1.00." in page
    assert re.search(r"<h2>Judge replay: correctness</h2>\s*<div class=\"wide\">", page)
    assert "Raters: labels of judge replay, correctness" in page


def test_what_is_missing_is_said_and_not_made_up(ropewalk, publish, objects, tmp_path):
    publish(seal(objects, tmp_path / "made", "r-2"))
    result = ropewalk("eval", "report", "r-2", "--out", str(tmp_path / "of.html"))
    assert result.exit_code == 0, result.output
    page = (tmp_path / "of.html").read_text()
    for words in ("No task set of this evaluation asks judges", "No two people graded the same answer"):
        assert words in page


def test_two_runs_are_compared_on_what_both_scored(ropewalk, publish, objects, tmp_path):
    for run, bits in (("a-1", 10.0), ("b-1", 30.0)):
        publish(seal(objects, tmp_path / "made", run, [a_row(str(at), bits + at) for at in range(20)]))
    publish(seal(objects, tmp_path / "made", "c-1", [a_row("other", 1.0)]))

    told = json.loads(ropewalk("eval", "compare", "a-1", "b-1", "--json").stdout)

    (found,) = told["differences"]
    assert (found["metric"], found["value"], found["num_items"]) == ("bits_per_byte", pytest.approx(2.0), 20)
    assert "a-1 is better" in ropewalk("eval", "compare", "a-1", "b-1").output
    refused = ropewalk("eval", "compare", "a-1", "c-1")
    assert "no item in common" in str(refused.exception)
