"""Following a run whose stack goes away, and submitting under an id that is taken: what the command line says."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ropewalk.client import Client, ClientSettings
from ropewalk.events.base import Message
from ropewalk.events.run import RunAccepted, RunRejected, StageStarted
from ropewalk.local.layout import Layout, layout_of
from ropewalk.local.ports import Ports
from ropewalk.local.state import StackState, endpoints_of, write_state
from ropewalk.recipes.builtin import python_stdlib, resolve_recipe

HOLD = (
    "import sys, time\nfrom pathlib import Path\n"
    "from ropewalk.local.layout import layout_of\nfrom ropewalk.local.lock import held\n"
    "with held(layout_of(Path(sys.argv[1]))):\n    print('held', flush=True)\n    time.sleep(600)"
)


class Stack:
    """What a supervisor leaves in a state folder, around the broker of the test."""

    def __init__(self, place: Layout, server: Any) -> None:
        self.server = server
        self._place = place
        command = [sys.executable, "-c", HOLD, str(place.state_dir)]
        self.supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.supervisor.stdout is not None
        assert self.supervisor.stdout.readline() == "held\n"
        self.stand_at(int(server.settings.url.rpartition(":")[2]))

    def stand_at(self, port: int) -> None:
        ports = Ports(nats=port)
        state = StackState(
            supervisor_pid=self.supervisor.pid,
            state_dir=str(self._place.state_dir),
            ports=ports,
            endpoints=endpoints_of(ports),
            processes=(),
            phase="ready",
        )
        write_state(self._place.stack_file, state)

    def publish(self, *messages: Message) -> None:
        async def all_of_them() -> None:
            async with await Client.connect(ClientSettings(nats=self.server.settings)) as client:
                for message in messages:
                    await client.bus.publish(message)

        asyncio.run(all_of_them())

    def ropewalk(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if name != "ROPEWALK_NATS_URL"} | {
            "ROPEWALK_STATE_DIR": str(self._place.state_dir),
            "ROPEWALK_NATS_USER": self.server.settings.user,
            "ROPEWALK_NATS_PASSWORD": self.server.settings.password,
        }
        command = [sys.executable, "-m", "ropewalk.cli.main", *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )

    def watch(self) -> subprocess.Popen[str]:
        """`watch` of a run of which the first fact has been printed."""
        process = self.ropewalk("watch", "r")
        assert process.stdout is not None
        assert process.stdout.readline()
        return process


@pytest.fixture
def stack(tmp_path: Path, nats_server: Any) -> Iterator[Stack]:
    place = layout_of(tmp_path / "state")
    place.create()
    stack = Stack(place, nats_server)
    yield stack
    stack.supervisor.kill()
    stack.supervisor.communicate()


def accepted() -> RunAccepted:
    recipe = resolve_recipe(python_stdlib().as_json())
    return RunAccepted(run_id="r", recipe=recipe.as_json(), recipe_sha256=recipe.sha256())


@pytest.mark.parametrize("is_up_elsewhere", [False, True])
def test_a_stack_that_went_away_ends_the_watching_with_one_sentence(stack: Stack, is_up_elsewhere: bool) -> None:
    stack.publish(accepted(), StageStarted(run_id="r", stage="ingest", epoch=1))
    process = stack.watch()
    if is_up_elsewhere:
        stack.stand_at(9)
    else:
        stack.supervisor.kill()
        stack.supervisor.wait()
    stack.server.stop()
    _, error = process.communicate(timeout=30)
    said = "at another address; `ropewalk watch r`" if is_up_elsewhere else "the stack is down; `ropewalk up` continues"
    assert said in error
    assert len(error.splitlines()) == 1
    assert process.returncode == 1


def test_a_broker_that_is_away_for_a_moment_ends_nothing_and_ctrl_c_still_does(stack: Stack) -> None:
    stack.publish(accepted(), StageStarted(run_id="r", stage="ingest", epoch=1))
    process = stack.watch()
    stack.server.stop()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=30)
    assert error == ""
    assert process.returncode == 130
    assert "the run goes on" in rest


def test_a_refusal_is_said_once(stack: Stack) -> None:
    stack.publish(RunRejected(run_id="r", violations=("field 'x' is wrong",)))
    process = stack.ropewalk("watch", "r")
    told, error = process.communicate(timeout=30)
    assert (told + error).count("field 'x' is wrong") == 1
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--minutes", "1"), 2, "run r was accepted with another recipe: submit this one under a new run id"),
        ((), 0, "nothing new was started"),
    ],
)
def test_an_id_that_is_taken_is_said_when_it_is_submitted(
    stack: Stack, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    stack.publish(accepted())
    process = stack.ropewalk("submit", "python-stdlib", "--run-id", "r", *arguments)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert sentence in error
    assert "accepted; `ropewalk watch" not in error
