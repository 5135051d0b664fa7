"""What the demo shows while it runs."""

import pytest
from rich.console import Console

from ropewalk.cli import terminal
from ropewalk.cli.demo_screen import LiveScreen, PlainScreen
from ropewalk.local.demo.board import Board


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

    shown = captured.get().splitlines()
    assert len(shown) == len(Board().rows)
    assert [line[3:13].strip() for line in shown] == list(Board().rows)
    assert "50%" in shown[4]
    assert shown[6][15:27].strip() == "3.0 s"
    assert all(len(line) <= width for line in shown)
