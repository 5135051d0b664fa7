"""`ropewalk status` on the real files of a stack."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ropewalk.admin.access import OPERATOR as USER
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


def test_a_broker_that_is_down_is_shown_with_cause_and_remedy(place: Layout, ropewalk) -> None:  # type: ignore[no-untyped-def]
    with held(place):
        code, out, _ = ropewalk("status", "--state-dir", str(place.state_dir))
    shown = " ".join(out.split())
    assert code == 0
    assert "✗ the broker is down: was killed by SIGKILL, it starts again by itself" in shown
    assert "→ read `ropewalk logs nats-server` if this stays" in shown


def test_the_same_for_programs(place: Layout, ropewalk) -> None:  # type: ignore[no-untyped-def]
    with held(place):
        found = json.loads(ropewalk("status", "--json", f"--state-dir={place.state_dir}")[1])
    (problem,) = found["problems"]
    assert (problem["kind"], problem["severity"]) == ("broker_down", "error")
    assert problem["since"] is not None
    assert found["waiting"]["num_sends"] == 0


def test_the_name_of_the_operator_is_that_of_the_access_table() -> None:
    assert OPERATOR == USER


@pytest.mark.parametrize(
    "surroundings",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}],
)
def test_a_terminal_that_knows_only_ascii_gets_a_question_mark_for_a_cross(
    place: Layout, surroundings: dict[str, str]
) -> None:
    with held(place):
        shown = subprocess.run(
            [sys.executable, "-m", "ropewalk.cli.main", "status", f"--state-dir={place.state_dir}"],
            env=os.environ | surroundings,
            capture_output=True,
            check=False,
        )
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"? the broker is down" in shown.stdout
