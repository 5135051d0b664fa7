"""What the demo shows while it runs."""

import io
import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from ropewalk.cli.commands import demo
from ropewalk.cli.screens import live, terminal
from ropewalk.cli.screens.live import LiveScreen, PlainScreen, live_screen
from ropewalk.events.training import TrainingProgressed
from ropewalk.report.board import Board, after
from ropewalk.report.card import ReportCard

CARD = ReportCard(
    run_id="r",
    recipe="prose",
    recipe_sha256="",
    outcome="promoted",
    model="m",
    model_version=1,
    began_at=datetime(2026, 11, 23, tzinfo=UTC),
    seconds=1.0,
    prompt="Once",
)


@pytest.fixture
def lines(monkeypatch):
    """What a plain screen prints, line by line."""
    console = Console(record=True, width=200, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    monkeypatch.setattr(terminal, "console", console)
    yield lambda: console.export_text(clear=False).splitlines()
    console.file.close()


def training(share, note=""):
    return Board().update("train", status="running", share=share, note=note)


def test_plain_screen_prints_a_line_per_fifth_of_a_stage(lines):
    screen = PlainScreen(quiet=False)

    for step in range(101):
        screen.board(training(step / 100, f"step {step}"))

    assert len(lines()) == 6
    assert lines()[-1].endswith("train: running: step 100")


def test_plain_screen_says_how_long_a_stage_took(lines):
    screen = PlainScreen(quiet=False)

    screen.board(Board().update("train", status="done", seconds=65.0, share=1.0))

    assert lines()[0].endswith("train: done in 1 min 05 s")


def test_quiet_screen_prints_nothing(lines):
    screen = PlainScreen(quiet=True)

    screen.board(training(0.5))
    screen.say("killed")

    assert lines() == []


def test_a_board_that_is_there_is_shown_before_anything_else(monkeypatch):
    console = Console(width=80, force_terminal=True, color_system=None, record=True, file=io.StringIO())
    monkeypatch.setattr(live, "console", console)
    with live_screen(Board.of_a_run()):
        pass
    assert "starting the stack" not in console.file.getvalue()
    assert "preprocess" in console.file.getvalue()


def test_live_screen_shows_every_stage_the_kill_and_the_incident():
    screen = LiveScreen()
    screen.board(training(0.5, "step 50 of 100"))
    screen.say("killed training worker 12 with SIGKILL at 45% of the steps")
    console = Console(width=120, record=True, force_terminal=True)

    with console.capture() as captured:
        console.print(screen)

    text = captured.get()
    assert all(stage in text for stage in Board().rows)
    assert "step 50 of 100" in text
    assert "SIGKILL" in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_note_neither_wraps_nor_moves_the_columns(width):
    screen = LiveScreen()
    screen.board(training(0.5, "step " * 60).update("evaluate", status="done", seconds=3.0, note="reason " * 60))
    console = Console(width=width, force_terminal=True, color_system=None)

    with console.capture() as captured:
        console.print(screen)

    shown, below = captured.get().splitlines()[: len(Board().rows)], captured.get().splitlines()[len(Board().rows) :]
    assert len(below) == (1 if width < 120 else 0)  # there the note of what runs has a line of its own
    assert [line[3:13].strip() for line in shown] == list(Board().rows)
    assert "50%" in shown[4]
    assert shown[6][15:27].strip() == "3.0 s"
    assert all(len(line) <= width for line in shown)


def test_step_rate_loss_and_time_left_are_read_at_eighty_columns():
    screen = LiveScreen()
    run = Board.of_a_run().update("train", status="running")
    progressed = TrainingProgressed(
        run_id="r", epoch=1, step=120, total_steps=400, loss=3.21, tokens=1, tokens_per_s=12_345.0, seconds_left=130.0
    )
    screen.board(after(run, progressed))
    console = Console(width=80, force_terminal=True, color_system=None)

    with console.capture() as captured:
        console.print(screen)

    assert "step 120 of 400, loss 3.210, 12,345 tokens/s, 2 min 10 s left" in captured.get()


def test_a_run_that_says_nothing_for_long_is_said_to_be_silent():
    screen = LiveScreen()
    screen.board(replace(Board.of_a_run().update("search", status="running"), news=time.time() - 75))
    console = Console(width=120, force_terminal=True, color_system=None)

    with console.capture() as captured:
        console.print(screen)

    assert re.search(r"no news for 1 min 1\d s", captured.get())


@pytest.mark.parametrize(
    ("is_accepted", "words"), [(False, "no service has answered yet"), (True, "between two stages")]
)
def test_where_nothing_runs_it_is_said_what_is_waited_for(is_accepted, words):
    screen = LiveScreen()
    screen.board(replace(Board.of_a_run(), is_accepted=is_accepted))
    console = Console(width=80, force_terminal=True, color_system=None)

    with console.capture() as captured:
        console.print(screen)

    assert words in captured.get()


def test_plain_screen_sums_a_stage_up_once_when_its_whole_is_known(lines):
    screen = PlainScreen(quiet=False)

    screen.board(Board().update("ingest", status="done", seconds=4.0, is_whole=False))
    screen.board(Board().update("ingest", status="done", seconds=4.0, note="475 documents, 9.6 MB"))

    assert [line.partition("] ")[2] for line in lines()] == ["ingest: done in 4.0 s: 475 documents, 9.6 MB"]


@pytest.mark.parametrize(
    ("curl", "keep", "words"),
    [
        ("curl x", False, ("The stack was stopped; `ropewalk up` brings it and the model back", 'complete "Once"')),
        ("", False, ("The stack was stopped; `ropewalk up` brings it back.",)),
        ("curl x", True, ('ropewalk complete "Once"', "curl x", "`ropewalk down` stops it")),
        ("", True, ()),
    ],
)
def test_demo_ends_with_how_to_talk_to_the_model(monkeypatch, curl, keep, words):
    console = Console(width=200)
    monkeypatch.setattr(demo, "console", console)
    with console.capture() as captured:
        demo._print_next(replace(CARD, curl=curl), keep=keep)

    assert all(each in captured.get() for each in words)
    assert bool(captured.get()) == bool(words)
