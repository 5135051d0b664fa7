"""`watch`, and what `submit --follow` shows: a run until it is over.

On a terminal that is the board, elsewhere a line per event. How far a stage is a pipe is told at once the first time,
then every ten seconds while that changes, and once a minute where the run stands while nothing does.
For programs there is one JSON object per event and nothing else.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import typer

from ropewalk.bus.codec import Stored
from ropewalk.cli.commands.show import event_json, event_line
from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.exit_codes import INTERRUPTED
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.live import LiveScreen, live_screen
from ropewalk.cli.screens.terminal import complain, console, done, print_json_line, say
from ropewalk.client import Client
from ropewalk.client.client import ENDINGS
from ropewalk.errors import RopewalkError
from ropewalk.events.base import Message
from ropewalk.events.evaluation import EvaluationProgressed
from ropewalk.events.run import RunCompleted, RunRejected
from ropewalk.events.training import StepMetricsBatch, TrainingProgressed
from ropewalk.local.errors import StackNotRunningError
from ropewalk.report.board import Board, after, where

app = typer.Typer()

SIGN_S = 10.0  # between two lines of a pipe on how far a stage is
WAITING_S = 60.0  # where nothing changes
_PROGRESS = (StepMetricsBatch, TrainingProgressed, EvaluationProgressed)
_TICK_S = 0.25


class StackGoneError(RopewalkError):
    """The stack whose run is followed ended, or was started again at another address. The text is for the user."""


class View:
    """How a run is shown to one who follows it."""

    def event(self, stored: Stored[Message], board: Board) -> None:
        """Something happened; `board` is what the run looks like since."""

    def tick(self, board: Board) -> None:
        """Time passes."""


@app.command()
def watch(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show a run until it is over: stage, step, rate, loss, time left. Whoever stops watching stops nothing.

    Example: ropewalk watch python-stdlib-261123-101500-1a2b
    """
    raise typer.Exit(watching(run, state_dir, is_new=False, as_json=as_json))


def watching(run_id: str, state_dir: Path | None, *, is_new: bool, as_json: bool) -> int:
    """Show a run until it is over; the exit code of its ending. Ctrl-C ends the watching and not the run, and says so.

    A run that is not new must be in the log: one that does not exist would be waited for, for ever.
    """

    async def follow(client: Client) -> int:
        if not is_new:
            await client.timeline(run_id)
        return await _until_over(client, run_id, state_dir, as_json=as_json)

    logging.getLogger("ropewalk.bus").setLevel(logging.ERROR)  # a bus that is away is said in our words
    try:
        return call(follow, settings_of(state_dir))
    except StackGoneError as gone:
        complain(f"{gone}", style="yellow")
        return 1
    except KeyboardInterrupt:
        if not as_json:
            say(f"the run goes on; `ropewalk watch {run_id}` shows it again, `ropewalk cancel {run_id}` stops it")
        return INTERRUPTED


async def _until_over(client: Client, run_id: str, state_dir: Path | None, *, as_json: bool) -> int:
    """0 promoted, or judged where no more was asked for; 1 ended otherwise, 2 refused. Raises StackGoneError."""
    with _view(as_json=as_json) as view:
        ending, board = await _shown(_signs(client, run_id, state_dir), view)
    if not as_json:
        _print_ending(run_id, ending, board)
    if isinstance(ending, RunRejected):
        return 2
    return 0 if _is_good(ending) else 1


def _is_good(ending: Message) -> bool:
    """Whether the run came to what was asked of it."""
    return isinstance(ending, RunCompleted) and ending.outcome in ("promoted", "judged")


async def _shown(signs: AsyncGenerator[Stored[Message] | None, None], view: View) -> tuple[Message, Board]:
    """The ending, and the board then."""
    board = Board.of_a_run()
    async with contextlib.aclosing(signs):
        async for stored in signs:
            if stored is None:
                view.tick(board)
                continue
            board = after(board, stored.message, stored.time.timestamp())
            view.event(stored, board)
            if isinstance(stored.message, ENDINGS):
                return stored.message, board
    raise AssertionError("a followed run ends with its ending")


async def _signs(client: Client, run_id: str, state_dir: Path | None) -> AsyncGenerator[Stored[Message] | None, None]:
    """The facts of a run, the steps of its training from now on, and None several times a second."""
    # Bounded: a terminal that is stopped (Ctrl-S) must not fill our memory with steps.
    news: asyncio.Queue[Stored[Message]] = asyncio.Queue(maxsize=1000)

    async def facts() -> None:
        async for stored in client.follow(run_id):
            await news.put(stored)

    async def steps() -> None:
        # Steps of an hour are no news: the rate and the loss are read off those that come from now on.
        end = await client.bus.end(stream="TEL")
        async for stored in client.bus.follow(f"{StepMetricsBatch.subject_prefix()}.{run_id}", stream="TEL", after=end):
            await news.put(stored)

    listening = [asyncio.create_task(facts()), asyncio.create_task(steps())]
    try:
        while True:
            try:
                # The tick keeps clock and bar moving while nothing happens, and is when the two tasks are looked after.
                yield await asyncio.wait_for(news.get(), _TICK_S)
            except TimeoutError:
                for task in listening:
                    if task.done() and (error := task.exception()):
                        raise error from None
                _check_stack(client, run_id, state_dir)
                yield None
    finally:
        for task in listening:
            task.cancel()
        # Waited for, or the loop would complain of tasks that were destroyed while pending.
        await asyncio.gather(*listening, return_exceptions=True)


def _check_stack(client: Client, run_id: str, state_dir: Path | None) -> None:
    """A bus that is away comes back by itself, unless its stack ended. Raises StackGoneError."""
    if client.bus.connection.is_connected:
        return
    try:
        url = settings_of(state_dir).nats.url
    except StackNotRunningError:
        raise StackGoneError("the stack is down; `ropewalk up` continues the run") from None
    if url != client.settings.nats.url:
        raise StackGoneError(f"the stack was started again at another address; `ropewalk watch {run_id}` goes on there")


@contextlib.contextmanager
def _view(*, as_json: bool) -> Iterator[View]:
    if as_json:
        yield JsonView()
    elif console.is_terminal:
        with live_screen(Board.of_a_run()) as screen:
            yield BoardView(screen)
    else:
        yield LineView()


class BoardView(View):
    """The board; it is redrawn by itself."""

    def __init__(self, screen: LiveScreen) -> None:
        self._screen = screen

    def event(self, stored: Stored[Message], board: Board) -> None:
        """See View."""
        self._screen.board(board)


class LineView(View):
    """A line per fact, and now and then one on where the run stands.

    Whether it was refused, and why, is said when all is over.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._first: Stored[Message] | None = None
        self._clock = clock
        self._printed = clock()
        self._told_of: Board | None = None
        self._told_kinds: set[type[Message]] = {StepMetricsBatch}

    def event(self, stored: Stored[Message], board: Board) -> None:
        """See View."""
        kind = type(stored.message)
        if kind in _PROGRESS and kind in self._told_kinds:
            self.tick(board)
            return
        self._told_kinds.add(kind)
        self._first = self._first or stored
        if not isinstance(stored.message, RunRejected):
            self._print(event_line(stored, since=self._first))

    def tick(self, board: Board) -> None:
        """See View."""
        said_s = SIGN_S if board != self._told_of else WAITING_S
        if self._clock() - self._printed >= said_s - 2 * _TICK_S:
            self._told_of = board
            self._print(f"{'':13}{where(board, time.time())}")

    def _print(self, line: str) -> None:
        say(line)
        sys.stdout.flush()
        self._printed = self._clock()


class JsonView(View):
    """One JSON object per fact, a line each."""

    def event(self, stored: Stored[Message], board: Board) -> None:
        """See View."""
        if not isinstance(stored.message, StepMetricsBatch):
            print_json_line(event_json(stored))


def _print_ending(run_id: str, ending: Message, board: Board) -> None:
    """What came out, and what to do next."""
    if isinstance(ending, RunRejected):
        for violation in ending.violations:
            complain(violation)
        return
    done(board.ending, good=_is_good(ending))
    if isinstance(ending, RunCompleted) and ending.outcome == "promoted" and board.has_task:
        say(f"  ask it: `ropewalk chat --model {ending.model} --temperature 0` takes an input a line")
    elif isinstance(ending, RunCompleted) and ending.outcome == "promoted":
        say('  talk to it: `ropewalk complete "Once upon"`, or `ropewalk chat` if it learned conversations')
    say(f"  `ropewalk report {run_id}` writes its report card, `ropewalk show {run_id}` has every event")
