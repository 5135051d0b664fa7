"""What an evaluation says about task sets is read from its report and told on the terminal."""

import json
import math

import pytest
from rich.console import Console

from ropewalk.cli.screens import judged_sets as screen
from ropewalk.client.errors import ClientError
from ropewalk.client.judged_sets import judged_sets, of_people_and_judges
from ropewalk.events.evaluation import Estimate, EvaluationCompleted
from ropewalk.storage.local import LocalObjects

SECTION = {
    "task_set": "copying@1",
    "content": "c",
    "kind": "generate",
    "split": "dev",
    "num_items": 40,
    "num_in_split": 60,
    "num_clusters": 20,
    "spread": {"exact_match": [0.5, 0.25, 0.75]},
    "opponent_spread": {"exact_match": [0.5, 0.5, 0.6]},
    "num_spread": 20,
    "num_dropped": 2,
    "scanned": "v7",
    "definitions": {},
}


def an_estimate(metric, **fields):
    usual = {"value": 0.5, "lower": 0.4, "upper": 0.6, "level": 0.95, "num_items": 40, "method": "bootstrap"}
    return Estimate(metric=metric, unit="share", num_effective=22.4, **usual | fields)


def an_evaluation(objects, folder, *sections):
    made = folder / "made"
    made.mkdir()
    (made / "report.json").write_text(json.dumps({"task_sets": sections}))
    objects.publish(made, "evaluations/r-1", {})
    estimates = (
        an_estimate("bits_per_byte"),
        an_estimate("copying@1/exact_match", task_set="copying@1", subject="r-1"),
        an_estimate("copying@1/readability", task_set="copying@1", lower=-math.inf, upper=math.inf, num_items=0),
        an_estimate("copying@1/exact_match_gain", task_set="copying@1", subject="m@1", paired=True, role="guardrail"),
    )
    return EvaluationCompleted(run_id="r", checkpoint_id="r-1", uri="evaluations/r-1", estimates=estimates)


def test_each_task_set_comes_with_its_own_estimates(log, tmp_path, monkeypatch):
    objects = LocalObjects(tmp_path / "store")
    (found,) = judged_sets(log(an_evaluation(objects, tmp_path, SECTION)), objects)
    assert [each.metric for each in found.estimates] == [
        "copying@1/exact_match",
        "copying@1/readability",
        "copying@1/exact_match_gain",
    ]
    paper = Console(width=200, record=True)
    monkeypatch.setattr(screen, "console", paper)
    monkeypatch.setattr(screen, "say", lambda text, style="": paper.print(text))
    screen.show_judged(found)
    shown = paper.export_text()
    for words in ("40 of 60 items (dev), 20 clusters", "gain over m@1", "guardrail", "22 alone", "40% to 60% (95%)"):
        assert words in shown
    assert "exact_match over 3 templates: 0.25 to 0.75; what is to beat 0.5 to 0.6 (20 items)" in shown
    assert "inf" not in shown
    assert "2 documents gave its items away and were dropped; searched: dataset v7" in shown


def test_what_counts_shared_words_says_that_nobody_knows_what_people_say_of_it(log, tmp_path, monkeypatch):
    objects = LocalObjects(tmp_path / "store")
    section = SECTION | {"definitions": {"exact_match": "d", "rouge_l": "d"}}
    (found,) = judged_sets(log(an_evaluation(objects, tmp_path, section)), objects)
    said = []
    monkeypatch.setattr(screen, "say", lambda text, style="": said.append(text))
    screen.show_judged(found)
    assert "  rouge_l: correlation with people: not measured, so it decides nothing" in said


def test_of_a_judged_set_it_is_told_what_people_and_judges_have_said_so_far(log, tmp_path):
    objects = LocalObjects(tmp_path / "store")
    section = SECTION | {
        "kind": "judge", "judges": ["small"], "judged_alone": {"correctness": [0.5, 0.25]}, "num_labelled": 40,
        "num_sheets": 80, "num_missing": 3, "raters_each": 2, "remarks": ["judge old is left out: its card expired"],
    }  # fmt: skip
    (found,) = judged_sets(log(an_evaluation(objects, tmp_path, section)), objects)
    assert of_people_and_judges(found.section) == [
        "labels of 40 items count; 3 of 80 sheets wait for people, 2 each",
        "correctness by small alone, which is no measurement: 50% against 25%",
        "judge old is left out: its card expired",
    ]


def test_a_run_without_an_evaluation_or_report_is_told_so(log, tmp_path):
    objects = LocalObjects(tmp_path / "store")
    with pytest.raises(ClientError, match="no evaluation yet"):
        judged_sets(log(), objects)
    lost = EvaluationCompleted(run_id="r", checkpoint_id="r-1", uri="evaluations/gone", estimates=())
    with pytest.raises(ClientError, match="cannot be read"):
        judged_sets(log(lost), objects)
