"""The terminal: the one place where text that somebody else wrote reaches it.

Prompts, completions, model names, recipes, paths and other people's errors may hold rich's markup, links, emoji codes
and escape sequences. None of it is obeyed here: markup is never interpreted, whatever a terminal would act upon is
written out (`\\x1b`), and what stands in one cell or on one line cannot begin another. JSON leaves as it is, in ASCII.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ropewalk.events.foreign import one_line, several_lines

MOST_IN_A_LINE = 2000  # characters of a sentence; longer ones are cut and say so
_LEAST_PROSE = 24  # columns that the last column of a table needs to be read


class _WrittenOut:
    """What was to be printed, with escape sequences written out. Line breaks are those of the layout by now."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            # Control segments are rich's own (cursor, erase); text is what somebody else wrote.
            yield segment if segment.control else Segment(several_lines(segment.text), segment.style)


class _Escaping(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_WrittenOut(each) for each in renderables]


class Terminal(Console):
    """A console that takes everything as text. Colours come from `style=` and `Text`, never from what is printed."""

    def __init__(self, **options: Any) -> None:
        # Rich would colour numbers, obey tags in brackets and draw emoji in what strangers wrote.
        super().__init__(highlight=False, markup=False, emoji=False, **options)
        self.push_render_hook(_Escaping())


console = Terminal()
errors = Terminal(stderr=True)


def say(text: str, *, style: str = "") -> None:
    """One line on standard output; line breaks in it are written out."""
    console.print(one_line(text, MOST_IN_A_LINE), style=style or None, soft_wrap=True)


def write(text: str) -> None:
    """Text as it comes, piece by piece."""
    sys.stdout.write(several_lines(text))
    sys.stdout.flush()


def complain(text: str, *, style: str = "red") -> None:
    """One line on standard error. A sentence of several lines becomes one: it may quote anything."""
    errors.print(one_line(" ".join(text.split()), MOST_IN_A_LINE), style=style, soft_wrap=True)


def print_json(value: Any) -> None:
    """JSON on standard output, nothing else: what was asked for, to the letter."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def print_json_line(value: Any) -> None:
    """One of many JSON values, each on a line of its own, as soon as it is known."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def mark(good: bool) -> Text:
    """A green tick or a red cross."""
    return Text("✓", "green") if good else Text("✗", "red")


def done(sentence: str, *, good: bool = True) -> None:
    """A tick and what was done, or a cross and what is bad."""
    console.print(mark(good), one_line(sentence, MOST_IN_A_LINE), soft_wrap=True)


def minute(time: str) -> str:
    """A time of the log as people read it, to the minute."""
    return time[:16].replace("T", " ")


class Listing:
    """Rows under headings; a block of name and value per row where the terminal is too narrow for that.

    The last column is prose and folds; `numbers` names the columns that stand to the right. A cell that is a `Text`
    is our own, and may be coloured.
    """

    def __init__(
        self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], numbers: Sequence[str] = ()
    ) -> None:
        self._columns = [one_line(name) for name in columns]
        self._rows = [
            [cell if isinstance(cell, Text) else Text(one_line(cell, MOST_IN_A_LINE)) for cell in row] for row in rows
        ]
        self._numbers = {one_line(name) for name in numbers}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fits = not self._rows or self._needs(options.max_width) <= options.max_width
        yield self._table() if fits else self._blocks()

    def _needs(self, width: int) -> int:
        """Columns of the terminal that a table takes, its last column no wider than what can still be read."""
        widths = [
            max(cell_len(name), *(row[place].cell_len for row in self._rows))
            for place, name in enumerate(self._columns)
        ]
        # Two columns of space follow each cell; the last cell may fold, down to a quarter of the terminal.
        return sum(widths[:-1]) + min(widths[-1], max(_LEAST_PROSE, width // 4)) + 2 * len(widths)

    def _table(self) -> Table:
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for name in self._columns[:-1]:
            table.add_column(name, no_wrap=True, justify="right" if name in self._numbers else "left")
        table.add_column(
            self._columns[-1], overflow="fold", justify="right" if self._columns[-1] in self._numbers else "left"
        )
        for row in self._rows:
            table.add_row(*row)
        return table

    def _blocks(self) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for number, row in enumerate(self._rows):
            if number:
                table.add_row()
            for name, cell in zip(self._columns, row, strict=True):
                table.add_row(name, cell)
        return table


def titled(title: str, body: RenderableType) -> Table:
    """Something with a heading of its own."""
    table = Table.grid()
    table.add_row(Text(one_line(title), "italic"))
    table.add_row(body)
    return table
