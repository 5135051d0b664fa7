"""The surface of the command line: commands, options, exit codes, sentences."""

import importlib
import io
import json
import logging
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from ropewalk.cli.commands import stack
from ropewalk.cli.durations import seconds_of
from ropewalk.cli.exit_codes import INTERRUPTED, USAGE
from ropewalk.cli.main import LogLines
from ropewalk.cli.screens.status import endpoints_view, moved_sentence
from ropewalk.cli.screens.terminal import Terminal
from ropewalk.cli.tree import LazyCommand, app
from ropewalk.local.layout import layout_of
from ropewalk.local.ports import Ports
from ropewalk.local.state import StackState, endpoints_of, write_state

HOLD = (
    "import sys, time\nfrom pathlib import Path\n"
    "from ropewalk.local.layout import layout_of\nfrom ropewalk.local.lock import held\n"
    "with held(layout_of(Path(sys.argv[1]))):\n    print('held', flush=True)\n    time.sleep(600)"
)


def commands(group=None, prefix=""):
    """Every command with its full name."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        command = command.load() if isinstance(command, LazyCommand) else command
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def options_of(command):
    return sorted(
        max(option.opts, key=len)
        for option in command.params
        if option.param_type_name == "option" and "--help" not in option.opts
    )


COMMANDS = {name: options_of(command) for name, command in commands()}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example_and_prints_json(name):
    shown = CliRunner().invoke(app, [*name.split(), "--help"])

    assert shown.exit_code == 0
    assert f"ropewalk {name}" in click.unstyle(shown.output).partition("Example:")[2].replace("\n", " ")
    assert "--json" in COMMANDS[name]


def test_the_help_of_all_commands_says_of_each_what_its_own_help_begins_with():
    for command in typer.main.get_command(app).commands.values():
        assert command.help == " ".join(command.load().help.split("\n\n")[0].split())


def test_every_command_of_every_module_is_in_the_tree():
    folder = Path(stack.__file__).parent
    paths = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py") if path.stem != "__init__"}
    names = {".".join(path.parts) for path in paths}
    found = set()
    for name in names:
        group = typer.main.get_group(importlib.import_module(f"ropewalk.cli.commands.{name}").app)
        found |= {group.name} if group.name else set(group.commands)

    tree = typer.main.get_command(app).commands
    inner = {name for each in tree.values() for name, one in _commands(each.load()).items() if _commands(one)}
    assert found - inner == set(tree)


def _commands(command: click.Command) -> dict[str, click.Command]:
    return getattr(command, "commands", {})  # typer has a click of its own


@pytest.mark.parametrize(
    ("what", "heavy"),
    [
        ("from ropewalk.cli.main import main; main()", "asyncio pydantic nats httpx numpy ropewalk.client"),  # --help
        ("import ropewalk.cli.commands.runs", "asyncio pydantic nats httpx numpy rich orjson ropewalk.client"),
        ("import ropewalk.cli.commands.status", "faststream nats httpx numpy pydantic_settings ropewalk.client"),
        ("import ropewalk.cli.commands.models, ropewalk.cli.commands.alarms", "nats httpx ropewalk.client.client"),
        ("import ropewalk.cli.commands.query", "nats numpy ropewalk.client.client"),
        ("import ropewalk.client.errors", "asyncio pydantic nats httpx"),
    ],
)
def test_what_must_answer_at_once_imports_no_large_library(what, heavy):
    code = (
        "import atexit, sys; sys.argv = ['ropewalk', '--help']\n"
        f"atexit.register(lambda: print('loaded', sorted({set(heavy.split())} & set(sys.modules))))\n{what}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_unknown_recipe_field_is_named_with_its_value_and_the_remedy(ropewalk, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("base: python-stdlib\nlearning_rate: 0.1\n")

    code, output, error = ropewalk("submit", str(recipe), "--dry-run")

    assert code == USAGE
    assert "unknown field 'learning_rate' (value 0.1): remove it" in " ".join(error.split())
    assert "Traceback" not in output + error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("status",), "the stack is not running; start it with `ropewalk up`"),
        (("runs",), "the stack is not running; start it with `ropewalk up`"),
        (("submit", "python-stdlib"), "the stack is not running; start it with `ropewalk up`"),
        (("submit", "no-such-recipe"), "'no-such-recipe' is neither a file nor a built-in recipe"),
        (("submit", "r.yaml", "--extend", "RUN"), "a recipe and --extend exclude each other"),
        (("submit", "r.yaml", "--steps", "5"), "a recipe and --steps exclude each other"),
        (("logs", "nobody"), "there is no process 'nobody' in the stack: choose one of supervisor, nats-server"),
        (("demo", "--recipe", "nope"), "'nope' is neither a file nor a built-in recipe"),
    ],
)
def test_wrong_use_ends_with_one_sentence_and_exit_code_two(ropewalk, arguments, sentence):
    code, output, error = ropewalk(*arguments)

    assert code == USAGE
    assert sentence in " ".join(error.split())
    assert "Traceback" not in output + error


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name: [1", "at line 1, column"),
        ("name: a: b", "at line 1, column"),
        ("name: \x01", "at position"),
        ("base: python-stdlib\nname: My Notes", "'My Notes': a name has 1 to 40 lower-case letters"),
        ("base: python-stdlib\npromotion: {model: Ö}", "'Ö': a name has 1 to 40 lower-case letters"),
    ],
)
def test_a_file_that_is_no_recipe_is_told_in_words(ropewalk, tmp_path, content, sentence):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(content)
    code, _, error = ropewalk("submit", str(recipe), "--dry-run")
    assert code == USAGE
    assert sentence in " ".join(error.split())
    assert "string>" not in error
    assert "[a-z" not in error


def test_a_file_that_cannot_be_written_is_told_without_a_number(ropewalk, tmp_path):
    for number in range(60):
        (tmp_path / f"{number}.txt").write_text(f"document {number} has some words\n" * 200)
    code, _, error = ropewalk("init", str(tmp_path), "--out", "/nonexistent/x.yaml")
    assert code == USAGE
    assert "'/nonexistent/x.yaml' cannot be used: No such file or directory" in error
    assert "Errno" not in error


def test_names_and_what_is_said_of_them_are_apart(ropewalk):
    _, listed, _ = ropewalk("drill", "list")
    assert "duplicate-everything " in listed


def test_ctrl_c_while_the_stack_starts_says_that_it_goes_on(tmp_path, monkeypatch, capsys):
    place = layout_of(tmp_path / "state")
    place.create()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "bring_up", interrupted)
    monkeypatch.setenv("COLUMNS", "200")
    holding = [sys.executable, "-c", HOLD, str(place.state_dir)]
    with subprocess.Popen(holding, stdout=subprocess.PIPE) as supervisor:
        try:
            assert supervisor.stdout.readline() == b"held\n"
            outcome = CliRunner().invoke(app, ["up", "--state-dir", str(place.state_dir)])
        finally:
            supervisor.kill()
    assert outcome.exit_code == 130
    assert "goes on starting" in outcome.output + capsys.readouterr().err


def test_a_demo_that_cannot_begin_leaves_a_running_stack_alone(ropewalk, tmp_path):
    place = layout_of(tmp_path / "state")
    place.create()
    holding = [sys.executable, "-c", HOLD, str(place.state_dir)]
    with subprocess.Popen(holding, stdout=subprocess.PIPE) as supervisor:
        try:
            assert supervisor.stdout.readline() == b"held\n"
            ports = Ports()
            state = StackState(
                supervisor_pid=supervisor.pid,
                state_dir=str(place.state_dir),
                ports=ports,
                endpoints=endpoints_of(ports),
                processes=(),
                phase="ready",
            )
            write_state(place.stack_file, state)

            assert ropewalk("demo", "--recipe", "nope")[0] == USAGE
            assert supervisor.poll() is None
        finally:
            supervisor.kill()


def test_unknown_option_ends_with_exit_code_two(ropewalk):
    code, _, error = ropewalk("up", "--fast")

    assert code == USAGE
    assert "--fast" in error


def test_help_begins_with_the_first_steps_and_has_a_place_for_every_command():
    shown = click.unstyle(CliRunner(env={"COLUMNS": "100"}).invoke(app, ["--help"]).output)

    panels = [line.strip("╭─╮ ") for line in shown.splitlines() if line.startswith("╭")]
    assert panels == ["Options", "First steps", "Runs", "Questions", "Operations"]
    assert shown.partition("First steps")[2].splitlines()[1].startswith("│ demo ")


def test_the_installed_command_ends_with_the_exit_code_of_wrong_use(tmp_path):
    command = [sys.executable, "-m", "ropewalk.cli.main", "status", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == USAGE
    assert done.stderr == "ropewalk: the stack is not running; start it with `ropewalk up`\n"


def test_the_version_is_that_of_the_package(ropewalk):
    assert ropewalk("--version")[:2] == (0, f"ropewalk {version('ropewalk')}\n")


def test_taken_ports_are_told_in_one_line_and_only_where_the_stack_is_started():
    ports = Ports(nats=40_001, openai=40_002)
    state = StackState(
        supervisor_pid=1, state_dir="/s", ports=ports, endpoints=endpoints_of(ports), processes=(), phase="ready"
    )
    out = io.StringIO()
    Terminal(file=out, width=200).print(endpoints_view(state))
    assert "taken" not in out.getvalue()
    assert moved_sentence(ports).endswith("nats 40001 instead of 4222, openai 40002 instead of 8080")
    assert moved_sentence(Ports()) == ""


def test_down_without_a_stack_is_no_error(ropewalk):
    assert ropewalk("down")[0] == 0


def test_logs_print_the_last_lines_of_a_process(ropewalk, tmp_path):
    log = tmp_path / "state" / "logs" / "trainer.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\nsecond [bold]\nthird\n")

    assert ropewalk("logs", "trainer", "-n", "2")[1] == "second [bold]\nthird\n"


def test_contracts_are_asyncapi_3_in_both_forms(ropewalk):
    _, as_json, _ = ropewalk("contracts", "--json")
    _, as_yaml, _ = ropewalk("contracts")

    assert json.loads(as_json)["asyncapi"].startswith("3.")
    assert as_yaml.startswith("asyncapi: 3.")


def test_relative_source_paths_are_those_of_the_callers_folder(ropewalk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("base: python-stdlib\nsources:\n- path: texts\n  licence: PSF-2.0\n")

    _, output, _ = ropewalk("submit", str(recipe), "--dry-run", "--json")

    assert json.loads(output)["recipe"]["sources"][0]["path"] == str(tmp_path / "texts")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129_600)])
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_of(text, "--deadline") == seconds


@pytest.mark.parametrize("text", ["99999999999h", "30d", "2", "0s", "-1h", "two hours", "2 weeks"])
def test_a_duration_that_is_none_is_named_with_the_remedy(text: str, ropewalk) -> None:
    code, _, error = ropewalk("submit", "python-stdlib", "--deadline", text)
    assert code == 2
    assert repr(text) in error


@pytest.mark.parametrize("module", ["typer", "ropewalk.cli.tree", "ropewalk.cli.commands.status"])
def test_ctrl_c_while_a_command_is_imported_ends_it_without_a_traceback(module: str) -> None:
    interrupted = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv = ['ropewalk', 'status']\n"
        "from ropewalk.cli.main import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, b"", b"")


def test_what_a_library_logs_again_and_again_is_one_line(capsys) -> None:
    lines = LogLines()
    for text in ("left out: 3", "left out: 3", "left out: 4"):
        lines.handle(logging.LogRecord("bus", logging.WARNING, "", 0, text, None, None))
    assert capsys.readouterr().err.split("\n") == ["left out: 3", "left out: 4", ""]


def test_init_makes_a_folder_for_a_task_once(ropewalk, tmp_path):
    place = tmp_path / "My Task"
    code, out, _ = ropewalk("init", "usecase", str(place))
    assert code == 0
    assert "task.yaml, instruction.md, schema.json, examples.jsonl" in out
    assert 'name: "my-task"' in (place / "task.yaml").read_text()
    code, _, error = ropewalk("init", "usecase", str(place))
    assert code == 2
    assert "exists already" in error
    code, _, error = ropewalk("init", str(place))  # for texts it would write a recipe that drops the answers
    assert code != 0
    assert "is the folder of a task" in error
    code, _, error = ropewalk("init", "elsewhere", "my-task")
    assert code == 2
    assert "usecase" in error


def test_a_page_of_an_evaluation_that_is_no_page_is_refused_before_anything_is_read(ropewalk):
    code, _, said = ropewalk("eval", "report", "r-1", "--out", "of.pdf")

    assert code == 2
    assert "'of.pdf' must end with .html" in said
