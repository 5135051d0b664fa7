"""Everything stops at once, or the disk is full: what the run does afterwards on the real stack."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ropewalk.events.checkpoint import CheckpointCommitted, CheckpointSaveFailed
from ropewalk.events.run import RunCompleted, StageCompleted
from ropewalk.events.training import TrainingInterrupted, TrainingProgressed
from ropewalk.local.supervision.processes import stack_processes

pytestmark = pytest.mark.stack


def completes_with_an_exact_ledger(stack, run_id: str) -> None:
    stack.until(run_id, RunCompleted)
    timeline = stack.timeline(run_id)
    assert sum(isinstance(event, RunCompleted) for event in timeline) == 1
    stages = [event.stage for event in timeline if isinstance(event, StageCompleted)]
    assert len(stages) == len(set(stages))
    verified = stack.ropewalk("ledger", "verify", run_id)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def run_submitted_by(demo: subprocess.Popen[bytes], stack, deadline_s: float = 180) -> str:
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline and demo.poll() is None:
        answer = stack.ropewalk("runs", "--json")  # refused until the stack is up
        if answer.returncode == 0 and (runs := json.loads(answer.stdout)["runs"]):
            return str(runs[0]["run_id"])
    raise AssertionError(f"no run was submitted; the last answer was {answer}")


@pytest.fixture
def demo(own_stack, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = own_stack.start("demo", "--recipe", "python-stdlib-tiny", folder=tmp_path)
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.embedded("`ropewalk demo` starts a stack of its own")
def test_ctrl_c_stops_the_whole_demo_and_up_continues_its_run(demo, own_stack, tmp_path) -> None:
    run_id = run_submitted_by(demo, own_stack)
    own_stack.until(run_id, TrainingProgressed)
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(60) == 130, (tmp_path / "output").read_text()
    said = (tmp_path / "output").read_text()
    assert "`ropewalk up` continues the run" in said
    assert "Traceback" not in said
    assert stack_processes(own_stack.state_dir) == []
    own_stack.up()
    completes_with_an_exact_ledger(own_stack, run_id)


def test_a_run_continues_after_every_process_was_killed_at_once(stack) -> None:
    stack.submit({"base": "python-stdlib-tiny", "trials": 0, "seed": 8}, "all-killed")
    stack.until("all-killed", TrainingProgressed)
    stack.kill_everything()
    assert stack.until("all-killed", TrainingInterrupted).cause == "service_lost"
    completes_with_an_exact_ledger(stack, "all-killed")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"only root may mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
@pytest.mark.embedded("its objects lie in a folder; benchmarks/compose/faults.py fills a volume of the object store")
def test_training_goes_on_while_the_disk_is_full_and_its_last_checkpoint_waits_for_space(small_disk, own_stack) -> None:
    stack = replace(own_stack, objects_url=(small_disk / "objects").as_uri())
    stack.up()
    stack.submit({"base": "python-stdlib-tiny", "trials": 0, "minutes": 0.3, "seed": 9}, "disk-full")
    stack.until("disk-full", CheckpointCommitted)
    while not any(isinstance(event, CheckpointSaveFailed) for event in stack.timeline("disk-full")):
        with contextlib.suppress(OSError), (small_disk / "filler").open("ab") as filler:
            filler.write(bytes(shutil.disk_usage(small_disk).free))
        assert not any(isinstance(event, RunCompleted) for event in stack.timeline("disk-full"))
    failed = stack.until("disk-full", CheckpointSaveFailed)
    assert failed.reason == f"No space left on device, while writing to {stack.objects_url}"
    [full] = [problem for problem in stack.json("status")["problems"] if problem["kind"] == "disk_full"]
    assert f"the disk of the objects is full: {small_disk}" in full["what"]
    deadline = time.monotonic() + 120
    while stack.until("disk-full", TrainingProgressed) and not waits_at_the_end(stack):
        assert time.monotonic() < deadline, stack.timeline("disk-full")
        time.sleep(0.5)
    [run] = stack.json("runs")["runs"]
    assert (run["status"], run["stage"]) == ("running", "train")
    assert "not saved: No space left on device" in run["detail"]
    (small_disk / "filler").unlink()
    completes_with_an_exact_ledger(stack, "disk-full")


def waits_at_the_end(stack) -> bool:
    """The last checkpoint has failed twice."""
    timeline = stack.timeline("disk-full")
    total = next(event.total_steps for event in timeline if isinstance(event, TrainingProgressed))
    return sum(isinstance(event, CheckpointSaveFailed) and event.step == total for event in timeline) >= 2
