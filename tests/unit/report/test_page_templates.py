"""Pages are templates: every value is escaped, a missing one is an error, and no drawing is made twice."""

from importlib.resources import files

import pytest
from jinja2 import UndefinedError

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
