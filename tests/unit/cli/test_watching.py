"""What a pipe is told of a run that is followed."""

import re
from datetime import UTC, datetime

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.cli.commands.watch import LineView
from ropewalk.events.envelope import Envelope
from ropewalk.events.evaluation import EvaluationProgressed
from ropewalk.events.run import StageQueued
from ropewalk.report.board import Board, after

AT = datetime(2026, 1, 1, tzinfo=UTC)
ENVELOPE = Envelope(id="i", type="t", source="s", time=AT.isoformat(), run_id="r")
QUEUED = StageQueued(run_id="r", stage="promote", cpus=1.0, pool="here")


def told(board: Board, seconds: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of so many seconds in which nothing happens."""
    now = 0.0
    view = LineView(clock=lambda: now)
    for quarter in range(4 * seconds):
        now = quarter / 4
        view.tick(board)
    return capsys.readouterr().out.splitlines()


def test_a_run_that_waits_says_so_once_and_every_minute(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(after(Board.of_a_run(), QUEUED, 1.0), 140, capsys)
    assert 2 <= len(lines) <= 3
    assert "promote waits in line" in lines[0]
    assert re.search(r"waits for 1 CPU of pool here|for 1 CPU of", lines[0])


def test_a_run_that_nobody_answered_says_so_once_and_every_minute(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 <= len(told(Board.of_a_run(), 140, capsys)) <= 3


def test_a_stage_that_works_says_how_far_it_is_at_once_and_then_every_ten_seconds_while_that_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    view, board = LineView(clock=lambda: now), Board.of_a_run()
    for second in range(60):
        now = float(second)
        said = EvaluationProgressed(run_id="r", checkpoint_id="c", num_answers=second, num_asked=90)
        board = after(board, said, now)
        view.event(Stored(1, AT, ENVELOPE, said), board)
    lines = capsys.readouterr().out.splitlines()
    assert "0 of 90 answers" in lines[0]
    assert 6 <= len(lines) <= 7
    for quarter in range(4 * 130):  # it hangs
        now = 60 + quarter / 4
        view.tick(board)
    assert 2 <= len(capsys.readouterr().out.splitlines()) <= 3
