"""Who holds a state folder, also after the holder was killed."""

import os
import subprocess
import sys

import pytest

from ropewalk.local.errors import StackNotRunningError
from ropewalk.local.layout import layout_of
from ropewalk.local.lock import AlreadyRunningError, held, holder
from ropewalk.local.ports import Ports
from ropewalk.local.stack import is_up, running_state, take_down
from ropewalk.local.state import StackState, endpoints_of, write_state

HOLD = (
    "import sys, time\nfrom pathlib import Path\n"
    "from ropewalk.local.layout import layout_of\nfrom ropewalk.local.lock import held\n"
    "with held(layout_of(Path(sys.argv[1]))):\n    print('held', flush=True)\n    time.sleep(600)"
)


def a_state_of(layout, pid):
    ports = Ports()
    return StackState(
        supervisor_pid=pid,
        state_dir=str(layout.state_dir),
        ports=ports,
        endpoints=endpoints_of(ports),
        processes=(),
        phase="ready",
    )


def test_holder_is_the_process_that_holds_the_folder(layout):
    assert holder(layout) == 0
    with held(layout):
        assert holder(layout) == os.getpid()
    assert holder(layout) == 0


def test_second_supervisor_is_turned_away(layout):
    with held(layout), pytest.raises(AlreadyRunningError, match="already runs"), held(layout):
        pass


def test_folder_of_a_killed_supervisor_is_free_again(layout):
    command = [sys.executable, "-c", HOLD, str(layout.state_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout.readline() == b"held\n"
        write_state(layout.stack_file, a_state_of(layout, supervisor.pid))
        assert is_up(layout)

        supervisor.kill()
        supervisor.wait()

    assert holder(layout) == 0
    with pytest.raises(StackNotRunningError, match="start it with `ropewalk up`"):
        running_state(layout)


def test_state_of_another_supervisor_does_not_count_as_running(layout):
    write_state(layout.stack_file, a_state_of(layout, os.getpid() + 1))

    with held(layout), pytest.raises(StackNotRunningError):
        running_state(layout)


def test_taking_down_what_never_ran_does_nothing(tmp_path):
    assert take_down(layout_of(tmp_path / "never")) == 0
