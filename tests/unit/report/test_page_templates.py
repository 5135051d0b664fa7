"""Pages are templates: every value is escaped, a missing one is an error, and no drawing is made twice."""

from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from jinja2 import UndefinedError

from ropewalk.drills.page import render_drill
from ropewalk.drills.scorecard import Observed, check, conclude
from ropewalk.events.drill import DrillStarted
from ropewalk.report import picture
from ropewalk.report.charts import interval_chart, loss_chart, stage_chart
from ropewalk.report.collect import collect
from ropewalk.report.drawing import Drawing, Label, Line
from ropewalk.report.facts import comparisons
from ropewalk.report.html import render_html
from ropewalk.report.page import pages_of


def test_a_value_that_is_missing_is_an_error_and_not_a_blank():
    with pytest.raises(UndefinedError, match="is undefined"):
        pages_of("ropewalk.report").get_template("report.html").render()


def test_every_value_in_a_drawing_is_escaped_in_text_and_in_attributes():
    svg = pages_of("ropewalk.report").get_template("parts.html").module.svg
    hostile = Drawing(10, 10, 'a"><script>', [Label(1, 2, "<b>&", 'x" onload="y'), Line(((0, 1), (2.25, 3)), "kept")])

    drawn = str(svg(hostile))

    assert "<b>" not in drawn
    assert "&lt;b&gt;&amp;" in drawn
    assert '"><script>' not in drawn
    assert 'onload="' not in drawn
    assert 'points="0.0,1.0 2.2,3.0 "' in drawn


@pytest.mark.parametrize("package", ["ropewalk.report", "ropewalk.drills"])
def test_templates_and_styles_are_files_of_the_package(package):
    names = {each.name for each in files(package).joinpath("templates").iterdir()}

    assert any(name.endswith(".html") for name in names)
    assert any(name.endswith(".css") for name in names)


def test_page_and_picture_show_the_same_drawings(demo_evidence):
    card = collect(demo_evidence)
    page, on_picture = render_html(card), [mark for _, _, mark in picture.page_of(card).marks]

    for drawing in (loss_chart(card), stage_chart(card.stages), *(interval_chart(c.rows) for c in comparisons(card))):
        assert set(drawing.marks) <= set(on_picture)
        labels = [mark.text for mark in drawing.marks if isinstance(mark, Label)]
        assert labels
        assert all(f">{label}</text>" in page for label in labels)


def test_every_kind_of_mark_has_a_look_on_the_picture(demo_evidence):
    kinds = {mark.kind for _, _, mark in picture.page_of(collect(demo_evidence)).marks if isinstance(mark, Line)}

    assert kinds == {"grid", "kept", "lost", "kill", "own", "other"}


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\x1b", "\0", "\x9b"])
def test_what_turns_the_direction_or_steers_a_terminal_is_written_out_in_every_value(demo_evidence, character):
    hostile = f"a{character}b<i>"
    card = replace(collect(demo_evidence), reason=hostile, recipe=hostile, recipe_text=f"{hostile}\n\tname: x")
    fault = DrillStarted(drill="poison", drill_id="d", run_id="r", target=hostile)
    seen = Observed(detect_s=0.3, recover_s=11.0, checks=(check(hostile, False, hostile),))
    drill = render_drill(conclude(fault, seen, first_sequence=1, last_sequence=2), datetime(2026, 1, 1, tzinfo=UTC))

    for page in (render_html(card), drill):
        assert character not in page
        assert f"a{character.encode('unicode_escape').decode()}b&lt;i&gt;" in page
    assert "\n\tname: x" in render_html(card)


def test_a_long_word_in_a_cell_is_broken_and_does_not_widen_the_page(demo_evidence):
    (style,) = [line for line in render_html(collect(demo_evidence)).splitlines() if line.startswith("td {")]
    assert "overflow-wrap: anywhere" in style
