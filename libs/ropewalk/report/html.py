"""The card as one HTML page."""

from ropewalk.report import charts, facts, tables
from ropewalk.report.card import ReportCard
from ropewalk.report.page import pages_of
from ropewalk.report.words import WORDS


def render_html(card: ReportCard) -> str:
    """The page."""
    page = pages_of(__package__).get_template("report.html")
    return page.render(card=card, facts=facts, charts=charts, tables=tables, words=WORDS)
