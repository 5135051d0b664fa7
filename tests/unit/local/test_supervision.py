"""Supervision of real processes: restart, back-off, stop, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from ropewalk.local.errors import StackStartError
from ropewalk.local.logfiles import tail_lines
from ropewalk.local.supervision.processes import kill_leftovers, stack_processes

FOREVER = "import time\nwhile True: time.sleep(60)"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
DEAF += "while True: time.sleep(60)"
WITH_CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "print(child.pid, flush=True)\ntime.sleep(600)"
)


def said(layout):
    return tail_lines(layout.log_of("worker"), 10)


def lives(pid):
    """A killed process without a parent that reaps it stays a zombie; that is dead."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_killed_process_comes_back_under_a_new_pid(supervise, until):
    process = supervise(FOREVER)
    await process.wait_ready(5)
    first = process.state.pid

    os.kill(first, signal.SIGKILL)

    await until(lambda: process.state.status == "ready" and process.state.pid not in (0, first))
    assert process.state.restarts == 1


async def test_process_that_keeps_ending_is_tried_again_and_says_how_it_ended(supervise, until):
    process = supervise("raise SystemExit(3)")

    await until(lambda: process.state.restarts >= 3)
    await until(lambda: process.state.status == "backing off")
    assert process.state.detail == "ended with exit code 3"


async def test_start_that_never_gets_ready_is_explained_with_its_last_words(supervise):
    async def never() -> bool:
        return False

    process = supervise("print('no such model'); raise SystemExit(1)", ready=never)

    with pytest.raises(StackStartError, match=r"worker did not become ready.*exit code 1 and last said: no such model"):
        await process.wait_ready(60)  # given up after a few starts


async def test_program_that_does_not_exist_is_named(supervise, layout):
    process = supervise(FOREVER)
    await process.wait_ready(5)
    await process.stop()
    missing = type(process)(
        type(process.spec)(name="gone", command=("/nonexistent/program",), environment={}, ready=process.spec.ready),
        layout,
        lambda: None,
    )

    missing.start()

    with pytest.raises(StackStartError, match=r"gone cannot be started.*nonexistent"):
        await missing.wait_ready(5)


async def test_stop_ends_a_process_that_ignores_sigterm(supervise, until, layout):
    process = supervise(DEAF, stop_grace_s=0.2)
    await until(lambda: said(layout) == ["deaf"])
    pid = process.state.pid

    await process.stop()

    assert not lives(pid)
    assert process.state.status == "stopped"


async def test_stop_leaves_no_descendant_even_in_its_own_session(supervise, until, layout):
    process = supervise(WITH_CHILD)
    await until(lambda: bool(said(layout)))
    child = int(said(layout)[0])

    await process.stop()

    assert not lives(child)


async def test_descendants_of_a_killed_process_are_gone_before_it_starts_again(supervise, until, layout):
    process = supervise(WITH_CHILD)
    await until(lambda: bool(said(layout)))
    orphan = int(said(layout)[0])

    os.kill(process.state.pid, signal.SIGKILL)

    await until(lambda: process.state.restarts == 1 and process.state.status == "ready")
    assert not lives(orphan)


async def test_sweep_of_one_process_leaves_the_others_alone(supervise, layout):
    one, other = supervise(FOREVER, name="one"), supervise(FOREVER, name="other")
    await one.wait_ready(5)
    await other.wait_ready(5)

    assert [found.pid for found in stack_processes(layout.state_dir, "one")] == [one.state.pid]
    assert kill_leftovers(layout.state_dir, "one") >= 1
    assert lives(other.state.pid)


def test_children_die_when_their_supervisor_is_killed(layout):
    code = (
        "import subprocess, sys, time\n"
        "from ropewalk.local.supervision.processes import die_with_parent\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'],"
        " preexec_fn=die_with_parent)\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as supervisor:
        child = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.kill()
        supervisor.wait()

    deadline = time.monotonic() + 5
    while lives(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lives(child.pid)


@pytest.fixture
def watched_often(monkeypatch):
    monkeypatch.setattr("ropewalk.local.supervision.process._WATCH_INTERVAL_S", 0.02)


async def test_a_process_that_answers_no_more_is_killed_and_started_again(supervise, until, watched_often):
    hangs: set[int] = set()

    async def silent() -> bool:
        return process.state.pid in hangs

    process = supervise(FOREVER, silent=silent, hung_after_s=0.2)
    await process.wait_ready(5)
    first = process.state.pid
    os.kill(first, signal.SIGSTOP)
    hangs.add(first)

    await until(lambda: process.state.status == "ready" and process.state.pid not in (0, first))
    assert process.state.last_ending == "did not answer for 0 s, so it was killed"
    assert not lives(first)


async def test_silence_now_and_then_is_no_reason(supervise, until, watched_often):
    asked = []

    async def silent() -> bool:
        asked.append(None)
        return len(asked) % 3 != 0

    process = supervise(FOREVER, silent=silent, hung_after_s=0.5)
    await until(lambda: len(asked) > 30)
    assert process.state.restarts == 0


async def test_a_start_that_hangs_is_given_up_and_tried_again(supervise, until):
    async def never() -> bool:
        return process.state.restarts > 0

    process = supervise(FOREVER, ready=never, ready_within_s=0.3)
    await until(lambda: process.state.status == "ready")
    assert "was not ready" in process.state.last_ending


async def test_before_every_start_a_process_may_be_told_something_else(supervise, until):
    process = supervise("raise SystemExit(3)")
    process.renew = lambda spec: replace(spec, command=(sys.executable, "-S", "-c", FOREVER))
    await until(lambda: process.state.status == "ready" and process.state.pid != 0)
    assert process.state.restarts == 0
