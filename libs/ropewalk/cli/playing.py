"""A stack for the length of a demo: whatever ends it, one that was started for it is stopped."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import typer

from ropewalk.cli.exit_codes import INTERRUPTED
from ropewalk.cli.keepers import refuse_elsewhere
from ropewalk.cli.screens.live import PlainScreen, live_screen
from ropewalk.cli.screens.terminal import console
from ropewalk.demo.screen import Screen
from ropewalk.local.layout import Layout
from ropewalk.local.stack import is_up, take_down

Result = TypeVar("Result")


@dataclass(frozen=True)
class Played(Generic[Result]):
    """What came of it, and whether the stack still runs."""

    result: Result
    kept: bool


def play(place: Layout, run: Callable[[Screen], Result], *, keep: bool, as_json: bool) -> Played[Result]:
    """What `run` gives; it starts the stack itself. One that ran before stays, and with `keep` the new one too."""
    refuse_elsewhere()
    # Without this, SIGTERM would end the process without the `finally` below, and leave a stack behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us, everything stops
    kept = is_up(place)  # a stack that ran before stays
    try:
        result = _on_screen(run, as_json)
        kept = kept or keep
        return Played(result, kept)
    except KeyboardInterrupt:
        kept = False
        console.print("\ninterrupted, stopping everything; `ropewalk up` continues the run", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if not kept:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half a stack
            take_down(place)


def _on_screen(run: Callable[[Screen], Result], as_json: bool) -> Result:
    if as_json or not console.is_terminal:
        return run(PlainScreen(quiet=as_json))
    with live_screen() as screen:
        return run(screen)
