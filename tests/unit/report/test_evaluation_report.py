"""The report of an evaluation: what is drawn, on which scale, and that nobody's words become part of the page."""

import json
import math
from dataclasses import replace

import pytest
from parts.judge_files import a_card, a_recorded_judge, labelled
from parts.sealed_reports import a_gain, a_level, a_row, a_section, seal

from ropewalk.client.errors import ClientError
from ropewalk.events.label import LabelGiven, LabelWithdrawn
from ropewalk.projections.labels import given
from ropewalk.report import picture
from ropewalk.report.drawing import Dot, Label, Line
from ropewalk.report.evaluation import facts
from ropewalk.report.evaluation.evaluated import Evaluated, PanelJudge, SideBySide
from ropewalk.report.evaluation.examples import examples_of
from ropewalk.report.evaluation.forest import Forest, ForestRow, forest_chart, forests
from ropewalk.report.evaluation.page import picture_of, render_evaluation, write_evaluation
from ropewalk.report.evaluation.raters import agreement, agreement_chart, by_criterion
from ropewalk.report.evaluation.reliability import reliabilities, reliability_chart
from ropewalk.report.evaluation.sealed import decision_of, read_sealed
from ropewalk.storage.local import LocalObjects
from ropewalk.tasksets.judges.prompt import judge_prompt


def of_kind(drawing, kind, shape=Line):
    return [mark for mark in drawing.marks if isinstance(mark, shape) and mark.kind == kind]


def grades_of(table):
    return {f"s{place}": dict(zip("abc", row, strict=False)) for place, row in enumerate(table)}


def said_of(judge):
    """As `said_by_judge` reads it, of a recorded judge."""
    records = [json.loads(line) for line in judge.recorded.splitlines()]
    return {record["prompt"]: record["next_token"] for record in records}


@pytest.fixture
def objects(tmp_path):
    return LocalObjects(tmp_path / "store")


@pytest.fixture
def found(objects, tmp_path):
    """An evaluation with a judge, raters and examples, whose words are all hostile."""
    bad = 'x"><script>alert(1)</script>\u202e'
    share = a_gain("t/acc_gain", quantity=f"right {bad}", unit="share", role="guardrail", subject=bad, task_set="t@1")
    estimates = [a_level().model_dump(mode="json"), a_level(subject=bad).model_dump(mode="json")]
    decided = seal(
        objects,
        tmp_path / "made",
        "r",
        estimates=[*estimates, share.model_dump(mode="json")],
        bounds={"t/acc_gain": -0.02},
        task_sets=[a_section("t@1", kind=bad)],
    )
    judge = a_recorded_judge(tmp_path / "judge", lambda _: 2.0)
    told = tuple(reliabilities(bad, judge, said_of(judge)))
    agreed = agreement(bad, bad, grades_of([(1, 1), (2, 1), (0, 0)]) | {"s9": {bad: 1, "a": 1}})
    return Evaluated(
        decided=decided.model_copy(update={"reasons": (bad,)}),
        report=read_sealed(objects, decided.evaluation_uri),
        judges=(PanelJudge(name=bad, card=a_card("i"), standing=bad, reliabilities=told),),
        agreements=(agreed,),
        examples=(SideBySide(bad, bad, bad, bad, bad),),
        missing=(bad,),
    )


def test_each_quantity_has_a_drawing_and_a_scale_of_its_own():
    rows = [ForestRow(a_gain()), ForestRow(a_gain("acc_gain", quantity="right", unit="share")), ForestRow(a_gain("b"))]
    first, second = forests(rows)
    assert [len(first.rows), len(second.rows)] == [2, 1]
    assert {each.gain.quantity for each in first.rows} == {"bits per byte"}


def test_margin_and_tolerance_stand_where_the_scale_has_them():
    drawing = forest_chart(Forest((ForestRow(a_gain(), 0.0), ForestRow(a_gain("g", role="guardrail"), -0.1))))
    (zero, *_), bounds = of_kind(drawing, "zero"), of_kind(drawing, "bound")
    assert bounds[0].points[0][0] == zero.points[0][0]
    assert bounds[1].points[0][0] < zero.points[0][0]
    assert [len(of_kind(drawing, kind, Dot)) for kind in ("own", "guard", "other")] == [1, 1, 0]


def test_an_interval_without_an_end_is_drawn_to_the_edge_and_no_further():
    unknown = ForestRow(a_gain(lower=-math.inf, upper=math.inf))
    for width in (990, 350):
        drawing = forest_chart(Forest((unknown,)), width)
        (line,) = of_kind(drawing, "own")
        assert [point[0] for point in line.points] == [8, width - 8]


def test_words_and_figures_of_a_row_never_meet_on_a_telephone():
    drawing = forest_chart(Forest((ForestRow(a_gain(subject="x" * 200)),)), 350)
    name, value = (
        next(of for of in drawing.marks if isinstance(of, Label) and of.kind == "name"),
        "0.100 [0.050, 0.200]",
    )
    assert name.text.endswith("…")
    assert 6.4 * (len(name.text) + len(value)) <= 350


def test_a_hostile_name_is_written_out_wherever_it_stands(found):
    page = render_evaluation(found)
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;") > 12


def test_page_and_picture_show_the_same_drawings(found):
    page, on_picture = render_evaluation(found), [mark for _, _, mark in picture_of(found).marks]
    drawings = [forest_chart(each) for each in facts.drawn(found)]
    drawings += [reliability_chart(each) for each in found.judges[0].reliabilities]
    drawings += [agreement_chart(each) for each in found.agreements]
    assert len(drawings) == 4
    for drawing in drawings:
        assert all(mark in on_picture for mark in drawing.marks)
        assert f'viewBox="0 0 {drawing.width} {drawing.height}"' in page
    assert {mark.kind for mark in on_picture if isinstance(mark, Line | Dot)} <= set(picture._LINES)


def test_page_and_picture_are_written_beside_each_other_and_need_nothing_else(found, tmp_path):
    png = write_evaluation(found, tmp_path / "new" / "of-r.html")
    assert png == tmp_path / "new" / "of-r.png"
    assert png.read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "new" / "of-r.html").read_text()
    assert not any(word in page for word in ("http://", "https://", "<link", "<img", "src="))


def test_levels_say_what_they_rest_on_and_what_the_gate_asks(objects, tmp_path):
    level = a_level("acc", unit="share", num_effective=31.7, role="guardrail").model_dump(mode="json")
    decided = seal(objects, tmp_path, "r", estimates=[level], bounds={"acc": 0.02})
    (row,) = facts.levels_table(Evaluated(decided=decided, report=read_sealed(objects, decided.evaluation_uri))).rows
    assert row.cells[2:] == ("10% [5%, 20%], asked for: 2%", "40", "20", "32", "guardrail", "1")


def test_a_judge_that_grades_as_people_do_lies_on_the_diagonal(tmp_path):
    judge = a_recorded_judge(
        tmp_path / "judge",
        lambda each: sum(each.labels.values()) / len(each.labels),
        [{**each, "labels": {"anna": place % 4}} for place, each in enumerate(labelled(40))],
    )
    (shown,) = reliabilities("j", judge, said_of(judge))
    assert sum(each.num_answers for each in shown.bins) == 40
    for each in shown.bins:
        assert each.judged == pytest.approx(each.people.value, abs=1e-6)
        assert each.people.lower <= each.people.value <= each.people.upper
    assert shown.bins[-1].people.lower < 3.0  # that all agree proves nothing beyond what so many can exclude


def test_an_answer_weighs_by_the_chance_with_which_it_was_drawn(tmp_path):
    records = [
        {**each, "labels": {"anna": grade}, "chance": chance}
        for each, (grade, chance) in zip(labelled(4), [(0, 1.0), (3, 0.5), (0, 1.0), (3, 0.5)], strict=True)
    ]
    judge = a_recorded_judge(tmp_path / "judge", lambda _: 1.2, records)
    (shown,) = reliabilities("j", judge, said_of(judge))
    assert [each.people.value for each in shown.bins] == [2.0]


def test_what_the_judge_did_not_grade_is_not_drawn(tmp_path):
    judge = a_recorded_judge(tmp_path / "judge", lambda _: 2.0, labelled(8))
    criterion = judge.rubric.criteria["correctness"]
    assert list(reliabilities("j", judge, {})) == []
    one = {judge_prompt(criterion, judge.answers[0]).digest: {"2": 0.0}}
    (shown,) = reliabilities("j", judge, one)
    assert [(each.judged, each.num_answers) for each in shown.bins] == [(2.0, 1)]


def test_raters_agree_in_the_answers_that_both_graded():
    found = agreement("t@1", "clear", grades_of([(1, 1, 1), (2, 0), (3, 3), (0,)]))
    assert found.raters == ("a", "b", "c")
    assert found.pairs == {(0, 1): (2 / 3, 3), (0, 2): (1.0, 1), (1, 2): (1.0, 1)}
    assert found.num_answers == 3
    assert "3 raters, 3 answers" in found.sentence
    assert agreement("t@1", "clear", grades_of([(1,), (2,)])) is None
    assert "no alpha" in agreement("t@1", "clear", grades_of([(1, 1)])).sentence


def test_labels_of_another_version_repeats_and_what_was_taken_back_do_not_count():
    def label(rater, position, **fields):
        usual = {"version": 1, "sheet_id": "s", "item_id": "i", "criterion": "clear", "scale": "0-3", "grade": 2}
        return LabelGiven(task_set_id="t", rater=rater, position=position, seconds=1.0, **usual | fields)

    taken = LabelWithdrawn(task_set_id="t", version=1, sheet_id="s", rater="b", position=1)
    messages = [label("a", 1), label("b", 1, grade=0), taken, label("b", 2), label("a", 2, grade=0, kind="repeat")]
    other = label("c", 1, version=2, sheet_id="z")
    assert by_criterion(given([*messages, other]), 1) == {"clear": {"s": {"a": 2, "b": 2}}}


def test_of_sealed_items_nothing_is_shown_whatever_lies_in_the_scores(objects, tmp_path):
    said = {"said": {"candidate": "mine", "production": "theirs"}, "prompt_end": "asked"}
    rows = [a_row("a", 1.0, f"{name}/exact_match", **said) for name in ("open@1", "shut@1")]
    sections = [a_section("open@1"), a_section("shut@1", split="gate")]
    decided = seal(objects, tmp_path, "r", rows, task_sets=sections)
    examples, lost = examples_of(read_sealed(objects, decided.evaluation_uri), decided.evaluation_uri, objects)
    assert examples == (SideBySide("open@1", "asked", "mine", "theirs"),)
    assert lost == []


def test_a_look_that_never_was_is_named_with_those_that_were(at, objects, tmp_path):
    looks = [at(float(look), seal(objects, tmp_path, "r", look=look)) for look in (1, 2)]
    assert decision_of(looks).look == 2
    assert decision_of(looks, 1).evaluation_uri == "evaluations/r-9"
    with pytest.raises(ClientError, match="--look is 3, and this run was judged in these looks: 1, 2"):
        decision_of(looks, 3)
    with pytest.raises(ClientError, match="no evaluation yet"):
        decision_of([])


def test_a_report_that_is_lost_or_broken_is_a_sentence(objects, tmp_path):
    with pytest.raises(ClientError, match="cannot be read"):
        read_sealed(objects, "evaluations/gone")
    broken = seal(objects, tmp_path, "r", comparison="none")
    with pytest.raises(ClientError, match="cannot be read"):
        read_sealed(objects, broken.evaluation_uri)


def test_a_deferred_evaluation_says_until_when_it_waits(found):
    decided = found.decided.model_copy(update={"verdict": "deferred", "decide_by_unix": 1.8e9})
    assert facts.key_facts(replace(found, decided=decided))[0][1:] == ("deferred", decided.waits_for)


def test_a_share_between_two_percents_is_not_rounded_on_the_axis():
    rows = (ForestRow(a_gain(unit="share", value=-0.04, lower=-0.11, upper=0.03)),)
    texts = {mark.text for mark in of_kind(forest_chart(Forest(rows)), "axis", Label)}
    assert {"-7.5%", "-2.5%", "2.5%", "0%"} <= texts
