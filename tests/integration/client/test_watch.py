"""`watch` on a real log: any run, to its end, with a sign of life now and then."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ropewalk.events.run import RunAccepted, RunCompleted, RunFailed, StageStarted
from ropewalk.events.training import TrainingProgressed

Watch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def watch(nats_server: Any) -> Iterator[Watch]:
    """Starts `ropewalk watch`; its output is a pipe."""
    started: list[subprocess.Popen[str]] = []
    environment = os.environ | {
        "ROPEWALK_NATS_URL": nats_server.settings.url,
        "ROPEWALK_NATS_USER": nats_server.settings.user,
        "ROPEWALK_NATS_PASSWORD": nats_server.settings.password,
    }

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ropewalk.cli.main", "watch", *arguments]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


ACCEPTED = RunAccepted(run_id="r", recipe={"name": "x", "trials": 2, "task": {"prompt": ""}}, recipe_sha256="h")


def test_a_silent_run_says_once_where_it_stands_and_all_that_follows(
    watch: Watch, publish: Callable[..., None]
) -> None:
    publish(ACCEPTED, StageStarted(run_id="r", stage="preprocess", epoch=1))
    process = watch("r")
    while "preprocess runs for" not in process.stdout.readline():  # type: ignore[union-attr]
        pass

    publish(
        StageStarted(run_id="r", stage="train", epoch=1),
        TrainingProgressed(
            run_id="r", epoch=1, step=7, total_steps=9, loss=1.5, tokens=1, tokens_per_s=3, seconds_left=2
        ),
        RunCompleted(run_id="r", outcome="promoted", model="code", model_version=1),
    )
    rest, _ = process.communicate(timeout=30)
    assert "step 7 of 9, loss 1.500" in rest
    assert "✓ promoted as code@1" in rest
    assert "`ropewalk chat --model code --temperature 0` takes an input a line" in rest
    assert "`ropewalk report r`" in rest
    assert process.returncode == 0


def test_a_run_that_ended_is_shown_to_its_end_for_people_and_for_programs(
    watch: Watch, publish: Callable[..., None]
) -> None:
    publish(ACCEPTED, RunFailed(run_id="r", stage="ingest", message="no \x1b[31mdata"))
    shown, _ = watch("r").communicate(timeout=30)
    told = watch("r", "--json")
    events, _ = told.communicate(timeout=30)
    assert "✗ failed in ingest: no \\x1b[31mdata" in shown
    assert [json.loads(line)["type"].split(".")[3] for line in events.splitlines()] == ["accepted", "failed"]
    assert told.returncode == 1


def test_whoever_stops_watching_stops_nothing_and_is_told_so(watch: Watch, publish: Callable[..., None]) -> None:
    publish(ACCEPTED)
    process = watch("r")
    process.stdout.readline()  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the run goes on; `ropewalk watch r` shows it again" in rest
    assert "Traceback" not in error


def test_a_run_that_does_not_exist_is_not_waited_for(watch: Watch) -> None:
    process = watch("nowhere")
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "there is no run 'nowhere'" in " ".join(error.split())
