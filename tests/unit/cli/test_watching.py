"""What a pipe is told of a run that is followed."""

import re

import pytest

from ropewalk.cli.commands.watch import LineView
from ropewalk.events.run import StageQueued, StageStarted
from ropewalk.report.board import Board, after

QUEUED = StageQueued(run_id="r", stage="promote", cpus=1.0, pool="here")


def told(board: Board, seconds: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of so many seconds in which nothing happens."""
    now = 0.0
    view = LineView(clock=lambda: now)
    for quarter in range(4 * seconds):
        now = quarter / 4
        view.tick(board)
    return capsys.readouterr().out.splitlines()


def test_a_run_that_waits_says_so_once_and_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(after(Board.of_a_run(), QUEUED, 1.0), 70, capsys)
    assert 2 <= len(lines) <= 3
    assert "promote waits in line" in lines[0]
    assert re.search(r"waits for 1 CPU of pool here|for 1 CPU of", lines[0])


def test_a_run_that_nobody_answered_says_so_once_and_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(told(Board.of_a_run(), 70, capsys)) <= 3


def test_a_run_that_works_gives_its_sign_every_two_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    board = after(Board.of_a_run(), StageStarted(run_id="r", stage="promote", epoch=1), 1.0)
    assert len(told(board, 60, capsys)) >= 30
