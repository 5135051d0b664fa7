"""The report as one HTML page and as one picture, with the same drawings."""

from pathlib import Path

from ropewalk.client.judged_sets import kept_out
from ropewalk.report.evaluation import facts, forest, raters, reliability
from ropewalk.report.evaluation.evaluated import Evaluated
from ropewalk.report.page import pages_of
from ropewalk.report.picture import Column, draw_page, new_page


def render_evaluation(found: Evaluated) -> str:
    """The page."""
    page = pages_of("ropewalk.report").get_template("evaluation.html")
    return page.render(found=found, facts=facts, forest=forest, reliability=reliability, raters=raters)


def picture_of(found: Evaluated) -> Column:
    """What stands on the picture, from top to bottom; examples are on the page only."""
    page = new_page()
    page.say("Ropewalk evaluation", "note")
    page.say(facts.headline(found), "head", wrap=54)
    page.say(facts.began(found), "note")
    page.tell(facts.key_facts(found))
    page.head("Why")
    for reason in found.decided.reasons:
        page.say(reason, "note", wrap=164)
    for each in facts.drawn(found):
        page.show(each.title, forest.forest_chart(each))
    page.say(facts.FOREST_NOTE, "note", wrap=164)
    page.tabulate("Levels", facts.levels_table(found))
    for number, method in enumerate(facts.methods(found), start=1):
        page.say(f"{number}: {method}", "note", wrap=164)
    page.head("Task sets")
    for asked in found.report.task_sets:
        page.say(f"{asked.task_set}: {kept_out(asked)}", "note", wrap=164)
    if not found.report.task_sets:
        page.say("None was asked.", "note")
    _people(page, found)
    return page


def _people(page: Column, found: Evaluated) -> None:
    page.tabulate("Judges", facts.judges_table(found.judges), "none")
    for sentence in (*facts.judges_sentences(found.judges), *found.missing):
        page.say(sentence, "note", wrap=164)
    columns = page.split()
    for judge in found.judges:
        for of in judge.reliabilities:
            _shorter(columns).show(of.title, reliability.reliability_chart(of))
    for shown in found.agreements:
        column = _shorter(columns)
        column.show(shown.title, raters.agreement_chart(shown))
        column.say(shown.sentence, "note", wrap=82)
    page.join(*columns)


def _shorter(columns: tuple[Column, Column]) -> Column:
    return min(columns, key=lambda column: column.y)


def write_evaluation(found: Evaluated, html: Path) -> Path:
    """Write the page to `html` and the picture beside it, whose path is returned. Raises OSError."""
    png = html.with_suffix(".png")
    html.parent.mkdir(parents=True, exist_ok=True)
    html.write_text(render_evaluation(found), encoding="utf-8")
    draw_page(picture_of(found), png)
    return png
