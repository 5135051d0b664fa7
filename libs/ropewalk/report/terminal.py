"""The card's summary for a terminal."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ropewalk.events.foreign import one_line
from ropewalk.report.card import ReportCard
from ropewalk.report.facts import LEAST_WAITING_S, comparison, duration, headline, interval, key_facts, money

_MOST_REMARK = 1000  # characters


def terminal_card(card: ReportCard) -> Group:
    """Headline, why it ended badly, stages, comparison, key facts; what the run did not come to is left out."""
    head = Text(one_line(headline(card)), style="bold")
    parts: list[RenderableType] = [Panel(head, title="report card", title_align="left", border_style="cyan")]
    if card.reason:
        parts += [Text(one_line(card.reason, _MOST_REMARK), style="red"), Text()]
    parts += [_stages(card), Text()]
    if comparison(card):
        parts += [_comparison(card), Text()]
    return Group(*parts, _facts(card))


def _stages(card: ReportCard) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("stage")
    for heading in ("time", "CPU-seconds", "cost"):
        table.add_column(heading, justify="right")
    for stage in card.stages:
        table.add_row(stage.name, duration(stage.seconds), f"{stage.cpu_seconds:.1f}", money(stage.usd))
    if card.waiting_s >= LEAST_WAITING_S:
        table.add_row("waiting and retries", duration(card.waiting_s), "", "", style="dim")
    table.add_row("start to end", duration(card.seconds), f"{card.cpu_seconds:.1f}", money(card.usd), style="bold")
    return table


def _comparison(card: ReportCard) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("bits per byte, held-out files")
    table.add_column("value and interval", justify="right")
    for row, (name, estimate) in enumerate(comparison(card)):
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
