"""`ropewalk status` the fast way: on the real files of a stack, without the imports of the other commands."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ropewalk.admin.access import OPERATOR as USER
from ropewalk.cli import quick_status
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.lock import held
from ropewalk.local.names import OPERATOR
from ropewalk.local.ports import Ports
from ropewalk.local.state import StackState, endpoints_of, write_state
from ropewalk.status.seen import ProcessState

NOBODY = Ports(nats=1)  # nothing listens there


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    """The files of a stack whose broker is being started again."""
    made = layout_of(tmp_path / "state")
    made.create()
    broker = ProcessState(
        service="nats-server",
        status="backing off",
        restarts=1,
        changed_at=time.time(),
        last_ending="was killed by SIGKILL",
    )
    state = StackState(
        supervisor_pid=os.getpid(),
        state_dir=str(made.state_dir),
        ports=NOBODY,
        endpoints=endpoints_of(NOBODY),
        processes=(broker,),
        phase="ready",
    )
    write_state(made.stack_file, state)
    return made


def test_a_broker_that_is_down_is_shown_with_cause_and_remedy(
    place: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(place):
        assert quick_status.answer(["status", "--state-dir", str(place.state_dir)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "✗ the broker is down: was killed by SIGKILL, it starts again by itself" in shown
    assert "→ read `ropewalk logs nats-server` if this stays" in shown


def test_the_same_for_programs(place: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with held(place):
        assert quick_status.answer(["status", "--json", f"--state-dir={place.state_dir}"])
    found = json.loads(capsys.readouterr().out)
    (problem,) = found["problems"]
    assert (problem["kind"], problem["severity"]) == ("broker_down", "error")
    assert problem["since"] is not None
    assert found["waiting"]["num_sends"] == 0


@pytest.mark.parametrize(
    "arguments", [["runs"], ["status", "--help"], ["status", "--state-dir"], ["status", "--state-dir", "/nowhere"]]
)
def test_everything_else_is_left_to_the_command_proper(arguments: list[str]) -> None:
    assert not quick_status.answer(arguments)


def test_it_imports_none_of_the_libraries_that_take_long() -> None:
    code = (
        "import sys, ropewalk.cli.main, ropewalk.cli.screens.status\n"
        "heavy = {'nats', 'faststream', 'httpx', 'aiohttp', 'pydantic_settings', 'typer', 'numpy', 'ray', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_name_of_the_operator_is_that_of_the_access_table() -> None:
    assert OPERATOR == USER
