"""The card as one PNG page, drawn with matplotlib: the drawings, facts and tables of the HTML page."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ropewalk.report.card import ReportCard
from ropewalk.report.charts import HALF, WIDE, interval_chart, loss_chart, stage_chart
from ropewalk.report.drawing import Bar, Dot, Drawing, Label, Line, Mark
from ropewalk.report.facts import began, comparisons, data_sentence, headline, key_facts, training_sentence
from ropewalk.report.specialist import specialist_table
from ropewalk.report.tables import CardRow, CardTable, cost_table, trial_table

_INK, _SOFT, _RULE, _ACCENT, _BAD, _GREY = "#1d2733", "#5d6b7a", "#e3e8ed", "#0b6e8f", "#b3362b", "#8d9aa6"
_LINES = {  # kind: (colour, width in points, dashes)
    "grid": (_RULE, 0.7, "-"),
    "kept": (_ACCENT, 1.4, "-"),
    "lost": (_GREY, 1.0, "-"),
    "looks": (_INK, 1.2, "--"),
    "kill": (_BAD, 1.0, "--"),
    "skip": (_BAD, 1.0, "-"),
    "back": (_BAD, 1.6, "-"),
    "own": (_ACCENT, 2.0, "-"),
    "guard": (_INK, 1.6, "-"),
    "zero": (_GREY, 0.8, "-"),
    "bound": (_BAD, 1.6, "--"),
    "other": (_GREY, 1.6, "-"),
}
_LETTERS = {  # kind: (size in pixels, colour, weight, family)
    "axis": (12.0, _SOFT, "normal", "sans-serif"),
    "name": (12.0, _INK, "normal", "sans-serif"),
    "kill": (12.0, _BAD, "normal", "sans-serif"),
    "note": (11.5, _SOFT, "normal", "sans-serif"),
    "head": (28.0, _INK, "bold", "sans-serif"),
    "value": (20.0, _INK, "bold", "sans-serif"),
    "title": (13.5, _INK, "bold", "sans-serif"),
    "plain": (11.0, _INK, "normal", "monospace"),
    "dim": (11.0, _SOFT, "normal", "monospace"),
    "chosen": (11.0, _ACCENT, "bold", "monospace"),
    "total": (11.0, _INK, "bold", "monospace"),
}
_ANCHORS = {"start": "left", "middle": "center", "end": "right"}
_PER_INCH = 100  # pixels of a drawing
_POINTS = 72 / _PER_INCH  # of a pixel
_EDGE, _GAP, _PER_ROW = 55, 42, 4
_MOST_ROWS = 16  # of a table


@dataclass
class Column:
    """Marks one below the other. `y` is where the next one begins, in pixels from the top."""

    x: float
    y: float
    marks: list[tuple[float, float, Mark]] = field(default_factory=list)

    def say(self, text: str, kind: str, wrap: int = 999, most_lines: int = 99) -> None:
        """A text in lines of at most `wrap` characters."""
        wrapped = textwrap.wrap(text, wrap, max_lines=most_lines, placeholder=" …", break_on_hyphens=False)
        for line in wrapped:
            size = _LETTERS[kind][0]
            self.marks.append((self.x, self.y + size, Label(0, 0, line, kind)))
            self.y += 1.35 * size

    def head(self, title: str) -> None:
        """A title with room around it."""
        self.y += 24
        self.say(title, "title")
        self.y += 8

    def show(self, title: str, drawing: Drawing | None) -> None:
        """A drawing below its title; only the title where there is none."""
        self.head(title)
        if drawing:
            self.marks += [(self.x, self.y, mark) for mark in drawing.marks]
            self.y += drawing.height

    def tabulate(self, title: str, table: CardTable, otherwise: str = "") -> None:
        """The first rows of a table in letters of one width."""
        self.head(title)
        if not table.rows:
            return self.say(otherwise, "note")
        rows = (CardRow(table.head, "dim"), *table.rows[:_MOST_ROWS])
        widths = [max(len(row.cells[column]) for row in rows) + 2 for column in range(len(table.head))]
        for row in rows:
            first, *others = (cell.rjust(width) for cell, width in zip(row.cells, widths, strict=True))
            self.say(first.strip().ljust(widths[0]) + "".join(others), row.kind or "plain")
        return None

    def tell(self, facts: Sequence[tuple[str, str, str]]) -> None:
        """Name, value and remark in rows of four."""
        for first in range(0, len(facts), _PER_ROW):
            cells = [Column(self.x + place * WIDE / _PER_ROW, self.y + 16) for place in range(_PER_ROW)]
            for cell, (name, value, remark) in zip(cells, facts[first : first + _PER_ROW], strict=False):
                cell.say(name, "note", wrap=37, most_lines=2)
                cell.say(value, "value")
                cell.say(remark, "note", wrap=37, most_lines=3)
            self.join(*cells)

    def split(self) -> "tuple[Column, Column]":
        """Two columns of half the width that begin here."""
        return Column(self.x, self.y), Column(self.x + HALF + _GAP, self.y)

    def join(self, *columns: "Column") -> None:
        """Go on where the longest column ends."""
        self.y = max(column.y for column in columns)
        self.marks += [mark for column in columns for mark in column.marks]


def write_picture(card: ReportCard, path: Path) -> None:
    """Draw the card. Raises OSError."""
    draw_page(page_of(card), path)


def new_page() -> Column:
    """An empty page."""
    return Column(_EDGE, 20)


def draw_page(page: Column, path: Path) -> None:
    """Draw what is on a page, which is as wide as a card and as high as it must be. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second of imports, only when a card is drawn
    from matplotlib.figure import Figure

    width, height = 2 * _EDGE + WIDE, page.y + _EDGE / 2
    figure = Figure(figsize=(width / _PER_INCH, height / _PER_INCH), dpi=1.2 * _PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    # One pair of axes over the whole sheet, in the drawings' pixels with y downwards.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for x, y, mark in page.marks:
        _draw(axes, x, y, mark)
    figure.savefig(path, format="png")


def page_of(card: ReportCard) -> Column:
    """Everything on the page, from top to bottom."""
    page = new_page()
    page.say("Ropewalk report card", "note")
    page.say(headline(card), "head")
    page.say(began(card), "note")
    page.tell(key_facts(card))
    if card.specialist:
        page.tabulate("Specialist", specialist_table(card.specialist))
    page.show("Training loss over steps", loss_chart(card) if card.losses else None)
    page.say(training_sentence(card), "note", wrap=164)
    left, right = page.split()
    for each in comparisons(card):
        left.show(each.title, interval_chart(each.rows))
        left.say(each.note, "note", wrap=82)
    right.show("Time per stage", stage_chart(card.stages) if card.stages else None)
    left.tabulate("Search", trial_table(card), "no trials were asked for")
    right.tabulate("Cost per stage", cost_table(card))
    left.head("Data")
    left.say(data_sentence(card), "note", wrap=82)
    page.join(left, right)
    if card.curl:
        page.head("Talk to it")
        page.say(card.curl, "plain", wrap=145)
    return page


def _draw(axes: Any, left: float, top: float, mark: Mark) -> None:
    """One mark of a drawing whose upper left corner is at (left, top)."""
    match mark:
        case Line(points=points, kind=kind):
            colour, width, dashes = _LINES[kind]
            places = [(left + x, top + y) for x, y in points]
            axes.plot(*zip(*places, strict=True), color=colour, linewidth=width, linestyle=dashes)
        case Dot(x=x, y=y, kind=kind, radius=radius):
            axes.plot(left + x, top + y, "o", color=_LINES[kind][0], markersize=2 * radius * _POINTS)
        case Bar(x=x, y=y, width=width, height=height, strength=strength):
            place = {"left": left + x, "height": height, "align": "edge"}
            axes.barh(top + y, width, color=_ACCENT, alpha=strength, **place)
        case Label(x=x, y=y, text=text, kind=kind, anchor=anchor):
            size, colour, weight, family = _LETTERS[kind]
            # A dollar sign is money and not the beginning of a formula.
            style = {"color": colour, "weight": weight, "family": family, "parse_math": False}
            axes.text(left + x, top + y, text, size=size * _POINTS, ha=_ANCHORS[anchor], **style)
