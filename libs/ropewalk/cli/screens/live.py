"""How a run looks while it is under way: a live table on a terminal, one line per change elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ropewalk.cli.screens.status import starting_view
from ropewalk.cli.screens.terminal import console, say
from ropewalk.events.foreign import one_line
from ropewalk.local.state import StackState
from ropewalk.report.board import Board, StageRow, where
from ropewalk.report.facts import duration

_MARKS = {"waiting": ("·", "dim"), "queued": ("◌", "yellow"), "done": ("✓", "green"), "failed": ("✗", "red")}
_MARKS["paused"] = _MARKS["queued"]
_BAR_WIDTH = 20
_SHARE_WIDTH = 4
_COLUMNS: tuple[tuple[int, JustifyMethod], ...] = ((1, "left"), (10, "left"), (12, "right"))  # mark, name, time
_NUM_LINES = 4
_INCIDENT = {True: "green", False: "yellow"}  # training that goes on is good news
_PLAIN_SHARES = 5  # a line at every fifth of a long stage
_WIDE = 120  # columns; below that the note of what runs stands on a line of its own
_QUIET_S = 60.0  # without news for longer than a stage on a small machine is silent, the screen says so


class LiveScreen:
    """The whole board, redrawn several times a second."""

    def __init__(self) -> None:
        self._board: Board | None = None
        self._stack: StackState | None = None
        self._lines: list[str] = []
        self._began: dict[str, float] = {}
        self._spinner = Spinner("dots", style="cyan")

    def stack(self, state: StackState) -> None:
        """See Screen."""
        self._stack = state

    def board(self, board: Board) -> None:
        """See Screen."""
        self._board = board
        for name, row in board.rows.items():
            if row.status == "running":
                # For stages whose begin the log does not tell, the time since we look is better than none.
                self._began.setdefault(name, time.time())

    def say(self, text: str) -> None:
        """See Screen."""
        self._lines.append(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._view(self._board, is_wide=options.max_width >= _WIDE)

    def _view(self, board: Board | None, *, is_wide: bool) -> RenderableType:
        if board is None:
            return starting_view(self._stack) if self._stack else Text("starting the stack …", style="dim")
        lines = [
            Text(one_line(line), style="bold red" if "SIGKILL" in line else "dim") for line in self._lines[-_NUM_LINES:]
        ]
        incident = [Text(one_line(board.incident), _INCIDENT[board.is_recovered])] if board.incident else []
        rows = (self._line(name, row, is_wide=is_wide) for name, row in board.rows.items())
        notes = [] if is_wide else [_detail(row) for row in board.rows.values() if row.status == "running" and row.note]
        return Group(*rows, *notes, *self._idle(board), *lines, *incident, *_silence(board))

    def _idle(self, board: Board) -> list[Table]:
        """Between two stages, and before the first, something still moves and says what is waited for."""
        if board.ending or any(row.status in ("running", "queued", "paused", "failed") for row in board.rows.values()):
            return []
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(self._spinner, Text(where(board, time.time()), "dim"))
        return [line]

    def _line(self, name: str, row: StageRow, *, is_wide: bool) -> Table:
        """Mark, name, time and note. Each row is a grid of its own: no note, however long, moves another row."""
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for width, justify in _COLUMNS:
            line.add_column(width=width, justify=justify)
        if row.status == "running":
            line.add_column(width=_BAR_WIDTH)
            line.add_column(width=_SHARE_WIDTH, justify="right")
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_row(*(self._moving(name, row, is_wide) if row.status == "running" else _still(name, row)))
        return line

    def _moving(self, name: str, row: StageRow, is_wide: bool) -> tuple[RenderableType, ...]:
        seconds = max(0.0, time.time() - (row.began or self._began.get(name, time.time())))
        bar = ProgressBar(total=1.0, completed=row.share or 0.0, width=_BAR_WIDTH, pulse=row.share is None)
        share = "" if row.share is None else f"{row.share:.0%}"
        return (
            self._spinner,
            Text(name, "bold"),
            duration(seconds),
            bar,
            share,
            Text(one_line(row.note) if is_wide else ""),
        )


def _detail(row: StageRow) -> Text:
    return Text(f"  {one_line(row.note)}", no_wrap=True, overflow="ellipsis")


def _silence(board: Board) -> list[Text]:
    """A run that says nothing for long may be well; whoever looks should know since when."""
    quiet_s = time.time() - board.news if board.news else 0.0
    if board.ending or quiet_s < _QUIET_S:
        return []
    return [Text(f"no news for {duration(quiet_s)}; `ropewalk status` says whether something is wrong", style="dim")]


def _still(name: str, row: StageRow) -> tuple[RenderableType, ...]:
    mark, colour = _MARKS[row.status]
    took = duration(row.seconds) if row.status == "done" and row.seconds else ""
    note = Text(one_line(row.note), "red" if row.status == "failed" else "dim")
    return Text(mark, colour), Text(name, "dim" if row.status == "waiting" else ""), took, note


class PlainScreen:
    """Lines for logs and pipes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._began = time.monotonic()
        self._seen: dict[str, tuple[object, ...]] = {}

    def stack(self, state: StackState) -> None:
        """See Screen."""
        ready = sum(process.status == "ready" for process in state.processes)
        self._changed("stack", (ready,), f"{ready} of {len(state.processes)} processes ready")

    def board(self, board: Board) -> None:
        """See Screen."""
        for name, row in board.rows.items():
            if row.status == "waiting" or not row.is_whole:
                continue
            moving = row.share is not None and row.status == "running"
            # The key changes when a line is due: at every fifth of a stage, or with its note.
            progress = int((row.share or 0) * _PLAIN_SHARES) if moving else row.note
            key = (row.status, "" if row.status == "done" else progress)
            took = f" in {duration(row.seconds)}" if row.status == "done" and row.seconds else ""
            self._changed(name, key, f"{row.status}{took}{f': {row.note}' if row.note else ''}")

    def _changed(self, name: str, key: tuple[object, ...], text: str) -> None:
        if self._seen.get(name) != key:
            self._seen[name] = key
            self.say(f"{name}: {text}")

    def say(self, text: str) -> None:
        """See Screen."""
        if not self._quiet:
            say(f"[{time.monotonic() - self._began:7.1f} s] {text}")


@contextmanager
def live_screen(board: Board | None = None) -> Iterator[LiveScreen]:
    """A live display while inside; its last state stays on the terminal. Without a board the stack is starting."""
    screen = LiveScreen()
    if board is not None:
        screen.board(board)
    with Live(screen, console=console, refresh_per_second=8):
        yield screen
