"""The learning curve on the card: its points, what is missing, and what more examples would bring."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ropewalk.corpus.document import write_records
from ropewalk.corpus.trained import STATES
from ropewalk.events.base import Message
from ropewalk.events.data import DatasetPublished
from ropewalk.events.evaluation import Estimate, EvaluationCompleted
from ropewalk.events.run import RunFailed, SubmitRun
from ropewalk.report.card import LearningCurve
from ropewalk.report.charts import learning_chart
from ropewalk.report.collect import collect
from ropewalk.report.html import render_html
from ropewalk.report.learning import curve_of
from ropewalk.report.specialist import learning_sentences, learning_table
from ropewalk.report.terminal import terminal_card
from ropewalk.storage.local import LocalObjects
from ropewalk.usecases.smaller_runs import FRACTIONS

ITEMS = [(f"item {number}", f"module {number // 2}") for number in range(400)]


def an_estimate(metric: str, value: float) -> Estimate:
    quantity = {"field_accuracy": "right fields", "schema_validity": "valid answers"}[metric]
    bounds = {"lower": max(0.0, value - 0.05), "upper": min(1.0, value + 0.05), "level": 0.95, "num_items": 400}
    return Estimate(metric=metric, value=value, method="m", quantity=quantity, unit="share", better="higher", **bounds)


class Runs:
    """What the runs of one curve left in the log and in the store."""

    def __init__(self, root: Path) -> None:
        self.root, self.objects = root, LocalObjects(root / "objects")

    def judged(self, run_id: str, num_learnt: int, level: float, first: int = 0) -> list[Message]:
        """It learnt from the documents from `first` on; the last of the items are those that it got wrong."""
        (dataset := self.root / f"{run_id}-d").mkdir()
        states = [{"content": f"{each}", "state": "kept"} for each in range(first, first + num_learnt)]
        write_records(dataset / STATES, [*states, {"content": "held", "state": "held_out"}])
        (report := self.root / f"{run_id}-e").mkdir()
        right = round(level * len(ITEMS))
        scores = [
            {"metric": metric, "item_id": item, "cluster": cluster, "values": {"candidate": float(place < right)}}
            for metric in ("schema_validity", "field_accuracy")
            for place, (item, cluster) in enumerate(ITEMS)
        ]
        (report / "scores.jsonl").write_text("".join(json.dumps(score) + "\n" for score in scores))
        for folder, kind in ((dataset, "datasets"), (report, "evaluations")):
            self.objects.publish(folder, f"{kind}/{run_id}", {})
        names = {"dataset_version": "v", "uri": f"datasets/{run_id}", "tokenizer_uri": "t", "evalset_uri": "e"}
        counts = {"num_inputs": 600, "num_kept": num_learnt, "num_held_out": 400, "num_tokens": 1, "num_windows": 1}
        estimates = tuple(an_estimate(metric, level) for metric in ("schema_validity", "field_accuracy"))
        return [
            DatasetPublished(run_id=run_id, dropped={}, context_length=1, **names, **counts),
            EvaluationCompleted(run_id=run_id, checkpoint_id="c", uri=f"evaluations/{run_id}", estimates=estimates),
        ]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
def curve(runs: Runs) -> LearningCurve:
    logs = [runs.judged("r-25", 101, 0.5), runs.judged("r-50", 203, 0.6), runs.judged("r", 405, 0.65)]
    return curve_of("r", logs, runs.objects)


def test_a_rising_curve_says_what_about_as_many_examples_again_would_bring(curve) -> None:
    assert curve.advice.startswith("from 203 to 405 examples the right fields changed by +5 points [")
    assert "; about 400 more would bring about 2.5 points [" in curve.advice  # 10, 5 and then half of that
    assert [point.num_learnt for point in curve.points] == [101, 203, 405]
    assert learning_sentences(curve)[1].startswith("The error is taken to fall as an inverse power")


def test_a_point_that_is_not_there_is_named_and_nothing_is_said_of_more_examples(runs) -> None:
    failed = [RunFailed(run_id="r-25", stage="train", message="the corpus is smaller than one batch")]
    waits = [SubmitRun(run_id="r-50", recipe={})]
    whole = runs.judged("r", 405, 0.75)
    for log, said in ((failed, "smaller than one batch"), (waits, "not judged yet"), ([], "not begun yet")):
        curve = curve_of("r", [log, waits, whole], runs.objects)
        assert "what more examples would bring is not known (r-25: " in curve.advice
        assert said in curve.advice
        assert learning_table(curve).rows[0].cells == ("25%", "–", "–")
        assert len(learning_sentences(curve)) == 1


def test_examples_that_were_changed_between_the_runs_make_no_curve(runs) -> None:
    logs = [runs.judged("r-25", 101, 0.4), runs.judged("r-50", 203, 0.6, first=50), runs.judged("r", 405, 0.75)]
    assert "the examples were changed between the runs" in curve_of("r", logs, runs.objects).advice


def test_too_few_examples_and_an_evaluation_that_is_gone_are_said(runs) -> None:
    logs = [runs.judged("r-25", 4, 0.4), runs.judged("r-50", 4, 0.6), runs.judged("r", 5, 0.75)]
    assert "5 examples are too few for a curve" in curve_of("r", logs, runs.objects).advice
    runs.objects.delete("datasets/r-25")
    assert "cannot be read any more" in curve_of("r", logs, runs.objects).advice


def test_page_and_terminal_show_points_with_intervals_and_the_advice(curve, demo_evidence) -> None:
    card = collect(replace(demo_evidence, learning=curve))
    page, console = render_html(card), Console(width=180)
    with console.capture() as captured:
        console.print(terminal_card(card))
    for shown in (page, captured.get()):
        assert "50%: 203" in shown
        assert "60% [55%, 65%]" in shown
        assert "about 400 more would bring" in shown
    assert "<h2>Learning curve</h2>" in page
    assert "Learning curve" not in render_html(collect(demo_evidence))


@pytest.mark.parametrize("width", [990, 350])
def test_the_chart_draws_every_point_at_its_number_of_examples_within_the_sheet(curve, width) -> None:
    drawing = learning_chart(curve, width)
    dots = [mark for mark in drawing.marks if mark.shape == "dot" and mark.kind == "own" and mark.y > 20]
    assert len(dots) == len(FRACTIONS) + 1
    assert [dot.y for dot in dots] == sorted((dot.y for dot in dots), reverse=True)  # higher is better
    assert dots[1].x - dots[0].x == pytest.approx((dots[2].x - dots[1].x) * 102 / 202)
    points = [point for mark in drawing.marks if mark.shape == "line" for point in mark.points]
    assert all(0 <= x <= width and 0 <= y <= drawing.height for x, y in points)
