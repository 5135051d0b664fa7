"""Foreign text on a terminal: markup is not obeyed, escapes are written out, JSON is never changed."""

import io
import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from ropewalk.bus.codec import Stored
from ropewalk.cli import main
from ropewalk.cli.commands import dead, query
from ropewalk.cli.commands.show import event_line
from ropewalk.cli.screens import terminal
from ropewalk.cli.screens.live import LiveScreen
from ropewalk.cli.screens.run_list import print_runs
from ropewalk.cli.screens.terminal import Listing, Terminal, print_json
from ropewalk.cli.tree import app
from ropewalk.client.dead_letters import DeadLetter
from ropewalk.client.endpoints import Table as Answer
from ropewalk.events.envelope import Envelope
from ropewalk.events.foreign import several_lines
from ropewalk.events.run import RunCancelled
from ropewalk.report.board import Board

MARKUP = ("[/x]", "[/red]", "[link=https://example.org]click[/link]", "[bold]b[/bold]", ":x: :warning:", "\\[red]")
ESCAPES = ("\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;https://example.org\x1b\\click", "\x9b2J", "a\rb", "\u202eabc")
LINES = ("one\ntwo", "one\r\n✓ all is well", "one\u2028two", "one\x0btwo")
FOREIGN = (*MARKUP, *ESCAPES, *LINES)
HARMLESS = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e]*")


def shown(what: RenderableType, width: int = 80) -> str:
    out = io.StringIO()
    Terminal(file=out, width=width, force_terminal=False).print(what)
    return out.getvalue()


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("wrap", [str, Text, lambda text: Panel(text), lambda text: _table(text)])
def test_whatever_is_printed_holds_no_escape_sequence_and_obeys_no_markup(text: str, wrap: object) -> None:
    out = shown(wrap(text))  # type: ignore[operator]
    assert HARMLESS.fullmatch(out)
    if text in MARKUP:
        assert text in out


def _table(text: str) -> Table:
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    return table


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_a_cell_is_text(text: str) -> None:
    assert text in shown(Listing(("a", "b"), [("1", text)]))


@pytest.mark.parametrize("text", LINES)
def test_what_stands_in_a_cell_cannot_begin_a_row(text: str) -> None:
    assert len(shown(Listing(("a", "b"), [(text, "1")])).splitlines()) == 2


@pytest.mark.parametrize("width", [20, 200])
def test_a_table_without_rows_has_its_heading(width: int) -> None:
    assert shown(Listing(("alarm", "state", "since", "what it is about"), []), width).split()[:2] == ["alarm", "state"]


def test_a_completion_keeps_its_lines_and_tabs() -> None:
    assert several_lines("def f():\n\treturn 1\n") == "def f():\n\treturn 1\n"
    assert several_lines("a\x1b[2Jb\r\n") == "a\\x1b[2Jb\\r\n"
    assert several_lines("\udcff") == "\\udcff"


@pytest.mark.parametrize("text", [*FOREIGN, "x" * 5000, "\ud800", "\x00"])
def test_json_is_what_was_asked_for_to_the_letter(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": text})
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": text}
    assert out.isascii()


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What commands print on a terminal of 80 columns."""
    out = io.StringIO()
    console = Terminal(file=out, width=80)
    for module in (terminal, query, dead):
        monkeypatch.setattr(module, "console", console)
    return out


@pytest.mark.parametrize("text", FOREIGN)
def test_query_shows_prompts_of_strangers(text: str, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answered(*_: object) -> Answer:
        return Answer(columns=("model", text), rows=(("code", text),))

    monkeypatch.setattr(query, "query", answered)
    monkeypatch.setattr(query, "settings_of", lambda _: None)
    result = CliRunner().invoke(app, ["query", "SELECT model, prompt"])
    assert result.exit_code == 0, result.exception
    assert HARMLESS.fullmatch(printed.getvalue())
    assert len(printed.getvalue().splitlines()) == 2


@pytest.mark.parametrize("text", FOREIGN)
def test_runs_show_the_details_of_strangers(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = {"run_id": "r", "started_at": "2026-11-23T10:15:00+00:00", "status": "failed", "stage": text, "detail": text}
    print_runs({"runs": [run | {"model": text, "model_version": 0}], "total": 1, "matching": 1}, "", as_json=False)
    out = capsys.readouterr().out
    assert HARMLESS.fullmatch(out)
    assert len(out.splitlines()) == 2


def test_a_long_reason_does_not_fill_the_screen_of_runs(capsys: pytest.CaptureFixture[str]) -> None:
    run = {"run_id": "r", "started_at": "2026-11-23T10:15:00+00:00", "status": "refused", "stage": ""}
    answer = {"runs": [run | {"detail": "x" * 10**6, "model": "", "model_version": 0}], "total": 1, "matching": 1}
    print_runs(answer, "", as_json=False)
    out = capsys.readouterr().out
    assert len(out) < 1200
    assert "1,000,000 characters" in out


@pytest.mark.parametrize("text", FOREIGN)
def test_the_timeline_shows_reasons_of_strangers(text: str, printed: io.StringIO) -> None:
    message = RunCancelled(run_id="r", mode="now", reason=text)
    envelope = Envelope(id="1", type=message.type_name(), source="s", time="", run_id="r")
    stored = Stored(sequence=1, time=datetime.now(UTC), envelope=envelope, message=message)
    terminal.say(event_line(stored, since=stored))
    assert HARMLESS.fullmatch(printed.getvalue())
    assert len(printed.getvalue().splitlines()) == 1


@pytest.mark.parametrize("text", FOREIGN)
def test_the_board_shows_notes_of_strangers(text: str) -> None:
    screen = LiveScreen()
    board = Board().update("train", status="running", note=text).update("search", status="failed", note=text)
    screen.board(board)
    screen.say(text)
    out = shown(screen, width=120)
    assert HARMLESS.fullmatch(out)
    assert len(out.splitlines()) == len(Board().rows) + 1


@pytest.mark.parametrize("width", [40, 80, 200])
def test_dead_letters_show_id_and_reason_on_every_terminal(width: int) -> None:
    letter = DeadLetter(
        id=170_142,
        stream="CONTROL",
        sequence=9,
        time="2026-11-23T10:15:00.000Z",
        message_time="2026-11-23T10:15:00.000Z",
        deliveries=1,
        headers={},
        body=b"",
        place="",
        subject="cmd.run.submit.v1.a-run-with-quite-a-long-name-261123-101500-1a2b",
        consumer="checkpoint-manager__promote-deadline-due",
        error="the recipe is missing the field sources: add it",
    )
    columns = ("id", "rejected", "consumer", "subject", "reason")
    text = shown(Listing(columns, [dead._cells(letter)]), width)
    assert "170142" in text
    assert "missing" in text
    assert all(len(line) <= width for line in text.splitlines())


@pytest.mark.parametrize("name", ["id", "ce-correlationid", "retried message_time"])
def test_a_field_and_its_value_are_apart(name: str, printed: io.StringIO) -> None:
    dead._print_field(name, "notes1")
    assert printed.getvalue().rstrip("\n").endswith(" notes1")


@pytest.mark.parametrize("licence", ["[/red]", ":x:", "\x1b[31mred", "one\ntwo"])
def test_a_dry_run_shows_the_licence_that_was_written(licence: str, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.json"
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text " * 200)
    source = {"path": str(tmp_path / "texts"), "licence": licence}
    recipe.write_text(json.dumps({"base": "python-stdlib", "sources": [source]}))
    as_text = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["submit", str(recipe), "--dry-run"])
    as_json = CliRunner().invoke(app, ["submit", str(recipe), "--dry-run", "--json"])
    assert isinstance(as_text.exception, SystemExit | None), as_text.exception  # too little data: that is said
    assert HARMLESS.fullmatch(as_text.output)
    assert json.loads(as_json.stdout)["recipe"]["sources"][0]["licence"] == licence


def test_errors_are_one_line_each(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.errors, "_width", 4000)
    monkeypatch.setattr("sys.argv", ["ropewalk", "submit", "no\x1b[31m[/red]\nropewalk: all is well", "--dry-run"])
    with pytest.raises(SystemExit):
        main.main()
    error = capsys.readouterr().err
    assert HARMLESS.fullmatch(error)
    assert "[/red]" in error
    assert len(error.splitlines()) == 1


def test_what_libraries_log_is_written_out_too(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("library")
    logger.addHandler(main.LogLines())
    logger.warning("left out %s: %s", "evt.run.x", "bad value '\x1b[2J'\nropewalk: all is well")
    error = capsys.readouterr().err
    assert HARMLESS.fullmatch(error)
    assert "left out evt.run.x" in error


def test_only_the_terminal_makes_consoles_and_nothing_writes_markup() -> None:
    for path in Path(terminal.__file__).parents[1].rglob("*.py"):
        source = path.read_text()
        assert not re.search(r"\bConsole\(", source) or path.name == "terminal.py", path
        assert not re.search(r"\[/\]|\[(bold|dim|red|green|yellow|cyan)\]", source), path
