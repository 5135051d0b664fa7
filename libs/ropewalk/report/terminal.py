"""The card's summary for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ropewalk.events.foreign import one_line
from ropewalk.report.card import ReportCard
from ropewalk.report.facts import Compared, comparisons, headline, interval, key_facts
from ropewalk.report.specialist import (
    learning_sentences,
    learning_table,
    specialist_sentences,
    specialist_table,
)
from ropewalk.report.tables import CardTable, cost_table

_MOST_REMARK = 1000  # characters


def terminal_card(card: ReportCard) -> Group:
    """Headline, why it ended badly, stages, comparison, key facts; what the run did not come to is left out."""
    head = Text(one_line(headline(card)), style="bold")
    parts: list[RenderableType] = [Panel(head, title="report card", title_align="left", border_style="cyan")]
    if card.reason:
        parts += [Text(one_line(card.reason, _MOST_REMARK), style="red"), Text()]
    parts += [_stages(card), Text()]
    if card.specialist:
        parts += [_plain(specialist_table(card.specialist)), *map(Text, specialist_sentences(card)), Text()]
    if card.learning:
        parts += [_plain(learning_table(card.learning)), *map(Text, learning_sentences(card.learning)), Text()]
    for each in comparisons(card):
        parts += [_comparison(each), Text()]
    return Group(*parts, _facts(card))


def _table(head: Sequence[str]) -> Table:
    """The first column is words, the others are numbers."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for place, heading in enumerate(head):
        table.add_column(heading, justify="right" if place else "left")
    return table


def _stages(card: ReportCard) -> Table:
    return _plain(cost_table(card))


def _plain(shown: CardTable) -> Table:
    table = _table(shown.head)
    for row in shown.rows:
        table.add_row(*row.cells, style={"total": "bold", "dim": "dim"}.get(row.kind, ""))
    return table


def _comparison(compared: Compared) -> Table:
    table = _table((compared.title, "value and interval"))
    for row, (name, estimate) in enumerate(compared.rows):
        table.add_row(name, interval(estimate), style="bold" if row == 0 else "")
    return table


def _facts(card: ReportCard) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value, remark in key_facts(card):
        table.add_row(name, Text(one_line(value)), Text(one_line(remark, _MOST_REMARK)))
    return table
