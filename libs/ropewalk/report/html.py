"""The card as one HTML page."""

from ropewalk.report import charts, facts, specialist, tables
from ropewalk.report.card import ReportCard
from ropewalk.report.page import pages_of
from ropewalk.report.words import WORDS


def render_html(card: ReportCard) -> str:
    """The page."""
    page = pages_of(__package__).get_template("report.html")
    rooms = {"facts": facts, "charts": charts, "tables": tables, "specialist": specialist}
    return page.render(card=card, words=WORDS, **rooms)
