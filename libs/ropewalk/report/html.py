"""The card as one HTML page."""

from ropewalk.report import facts
from ropewalk.report.card import ReportCard
from ropewalk.report.charts import interval_chart, loss_chart, stage_chart
from ropewalk.report.page import pages_of
from ropewalk.report.tables import cost_table, trial_table
from ropewalk.report.words import WORDS


def render_html(card: ReportCard) -> str:
    """The page."""
    return (
        pages_of(__package__)
        .get_template("report.html")
        .render(
            card=card,
            facts=facts,
            loss=loss_chart(card),
            compared=[(each, interval_chart(each.rows)) for each in facts.comparisons(card)],
            stages=stage_chart(card.stages),
            trials=trial_table(card),
            costs=cost_table(card),
            words=WORDS,
        )
    )
